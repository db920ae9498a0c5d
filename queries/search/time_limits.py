"""A filter without an index is answered only within a range of times.

Without an index a query walks the trail, newest first, and compares each event. That is quick while most events match,
as with no condition at all. When few match, a page may walk ten million events before it is full. The conditions tell
which it is: "not by this actor" leaves most events, "with this purpose" few.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, timedelta
from enum import IntEnum

from domain.errors import ConflictError, Reason
from domain.event import Action, ActorKind, Outcome
from queries.filters.event_filter import EventFilter
from queries.search.access_paths import Plan
from queries.search.ranges import Range, range_of

MAX_POSITIONS = 1_000_000
"""The longest range of positions, which a client may give in place of a range of times."""
_RANGES = ("occurred_from", "occurred_until", "position_from", "position_until")
_ROUNDING = 1e-9
_FREQUENT = frozenset({Action.CREATE, Action.READ, Action.UPDATE, Action.EXECUTE})
_FREQUENT_KINDS = frozenset({ActorKind.USER, ActorKind.SERVICE, ActorKind.DEVICE})
_INDEXED = "actor, patient, device, service, session, address, correlation id, resource or type"


def check_page_time(filter: EventFilter, plan: Plan, max_days: int, now: datetime | None = None) -> None:
    """Raise `ConflictError` when a page of `filter`, which has no index, would walk too much of the trail.

    `filter` includes the principal's scope, which may be the rarer part. `max_days` is the longest range of times; the
    ranges of several walks, those of an `or_`, count together.
    """
    if _share(filter) is _Share.FEW:
        _check_short(plan, max_days, now)


def check_count_time(plan: Plan, max_days: int, now: datetime | None = None) -> None:
    """The same for counts, which read every event that matches."""
    _check_short(plan, max_days, now)


def _check_short(plan: Plan, max_days: int, now: datetime | None) -> None:
    at = now or datetime.now(UTC)
    walks = [range_of(path.rest) for path in plan if path.driver is None]
    if sum(_part_of_limit(each, timedelta(days=max_days), at) for each in walks) <= 1 + _ROUNDING:
        return
    raise ConflictError(
        Reason.MISSING_FIELD,
        f"this filter has no index: give a range of times of at most {max_days} days, or of positions of at most "
        f"{MAX_POSITIONS}, or add a condition on {_INDEXED}",
        field="occurred_from",
    )


class _Share(IntEnum):
    """The share of events that match in a usual trail: next to none, a part that fills a page soon, or nearly all."""

    FEW = 0
    SOME = 1
    MANY = 2


def _share(filter: EventFilter) -> _Share:
    """The share that matches, judged by the conditions without the ranges."""
    return min((_shares(filter, name) for name in filter.given() if name not in _RANGES), default=_Share.MANY)


def _shares(filter: EventFilter, name: str) -> _Share:
    match name:
        case "actions":
            found = _frequent(filter.actions, _FREQUENT)
        case "actor_kinds":
            found = _frequent(filter.actor_kinds, _FREQUENT_KINDS)
        case "and_":
            found = min(map(_share, filter.and_))
        case "or_":
            found = max(map(_share, filter.or_))
        case "not_" if filter.not_ is not None and not _has_range(filter.not_):
            found = _Share(_Share.MANY - _share(filter.not_))
        case "emergency" if not filter.emergency:
            found = _Share.MANY
        case "outcomes" if Outcome.SUCCESS in filter.outcomes:
            found = _Share.MANY
        case _:
            found = _Share.FEW
    return found


def _frequent(values: Iterable[str], frequent: AbstractSet[str]) -> _Share:
    given = frequent & set(values)
    return _Share.MANY if given == frequent else _Share.SOME if given else _Share.FEW


def _has_range(filter: EventFilter) -> bool:
    return any(set(each.given()) & set(_RANGES) for each in filter.every())


def _part_of_limit(range: Range, days: timedelta, now: datetime) -> float:
    """How much of the longest range that is allowed one walk takes: of times or of positions, whichever is less."""
    shares = [math.inf]
    if range.occurred_from is not None:
        until = now if range.occurred_until is None else range.occurred_until
        shares.append(max((until - range.occurred_from) / days, 0.0))
    if range.position_from is not None and range.position_until is not None:
        shares.append((range.position_until - range.position_from) / MAX_POSITIONS)
    return min(shares)
