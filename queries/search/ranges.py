"""The ranges of times and positions outside of which nothing matches a filter."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from msgspec import Struct

from projections.binary_rows import utc
from queries.filters.event_filter import EventFilter


class Range(Struct, frozen=True):
    """Bounds as `EventFilter` has them; None is no bound."""

    occurred_from: datetime | None
    occurred_until: datetime | None
    position_from: int | None
    position_until: int | None

    @property
    def has_start(self) -> bool:
        """Whether a walk, newest first, ends."""
        return self.occurred_from is not None or self.position_from is not None


def range_of(parts: Iterable[EventFilter]) -> Range:
    """The range in which all of `parts` can match. That of an `or_` reaches over the ranges of all its filters."""
    every = tuple(parts)
    return Range(
        _bound(every, "occurred_from", max, min),
        _bound(every, "occurred_until", min, max),
        _bound(every, "position_from", max, min),
        _bound(every, "position_until", min, max),
    )


_Choice = Callable[[list[Any]], Any]


def _bound(parts: Iterable[EventFilter], name: str, narrower: _Choice, wider: _Choice) -> Any:
    found: list[Any] = []
    for part in parts:
        value = getattr(part, name)
        if value is not None:
            found.append(utc(value) if isinstance(value, datetime) else value)
        found += filter(_is_given, (_bound((each,), name, narrower, wider) for each in part.and_))
        either = [_bound((each,), name, narrower, wider) for each in part.or_]
        if either and all(map(_is_given, either)):
            found.append(wider(either))
    return narrower(found) if found else None


def _is_given(value: Any) -> bool:
    return value is not None
