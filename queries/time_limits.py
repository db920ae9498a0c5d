"""A filter to which no index leads is answered within a range of times alone.

Without an index the trail is walked, newest first, and each event compared. That is quick while most events match, as
it is with no condition at all; when few do, a page may have to walk ten million to find its last event. Which it is
can be told from the conditions: "not by this actor" leaves most events, "with this purpose" few.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import IntEnum

from msgspec.structs import replace

from domain.errors import ConflictError, Reason
from domain.event import Action, Outcome
from queries.access_paths import is_bounded
from queries.counts import CountBy
from queries.filters import EventFilter, check_filter, within

MAX_POSITIONS = 1_000_000
"""How long a range of positions may be, which does as well as one of times."""
_RANGES = ("occurred_from", "occurred_until", "position_from", "position_until")
_FREQUENT = {Action.CREATE, Action.READ, Action.UPDATE, Action.EXECUTE}
_LEADING = "actor, patient, device, service, session, address, correlation id, resource or type"


def check_range(
    filter: EventFilter, max_days: int, scope: EventFilter | None = None, *, now: datetime | None = None
) -> None:
    """Raise `RejectedError` when `filter` is none, `ConflictError` when a page of it would walk too much.

    `max_days` is how long a range of times may be then, 0 for any length.
    `scope` is what the asker may see, see `ReadModels`: it may lead, and narrows what is walked for.
    """
    asked = within(check_filter(filter), scope)
    if max_days and not _is_indexed(asked) and _share(asked) is _Share.FEW:
        _check_short(asked, max_days, now)


def check_counted(
    filter: EventFilter,
    by: CountBy,
    max_days: int,
    scope: EventFilter | None = None,
    *,
    now: datetime | None = None,
) -> None:
    """The same for counts, which read all that matches. Whole hours and days of the whole trail are kept as numbers."""
    asked = within(check_filter(filter), scope)
    if max_days and not _is_indexed(asked) and not _of_whole_hours(asked, by):
        _check_short(asked, max_days, now)


def _is_indexed(filter: EventFilter) -> bool:
    return is_bounded(_without_ranges(filter))


def _of_whole_hours(filter: EventFilter, by: CountBy) -> bool:
    moments = [each.astimezone(UTC) for each in (filter.occurred_from, filter.occurred_until) if each]
    return (
        by in {CountBy.HOUR, CountBy.DAY}
        and set(filter.given()) <= {"occurred_from", "occurred_until"}
        and not any(each.minute or each.second or each.microsecond for each in moments)
    )


def _check_short(filter: EventFilter, max_days: int, now: datetime | None) -> None:
    if _is_short(list(_conjuncts(filter)), timedelta(days=max_days), now or datetime.now(UTC)):
        return
    raise ConflictError(
        Reason.MISSING_FIELD,
        f"no index leads to what this filter asks: give a range of times of at most {max_days} days, or of positions "
        f"of at most {MAX_POSITIONS}, or add a condition on {_LEADING}",
        field="occurred_from",
    )


def _conjuncts(filter: EventFilter) -> Iterator[EventFilter]:
    yield replace(filter, and_=())
    for part in filter.and_:
        yield from _conjuncts(part)


def _without_ranges(filter: EventFilter) -> EventFilter:
    return replace(
        filter, **dict.fromkeys(_RANGES), and_=tuple(_without_ranges(part) for part in filter.and_)
    )


class _Share(IntEnum):
    """How many events of a usual trail match: next to none, a part that a page finds soon, or nearly all."""

    FEW = 0
    SOME = 1
    MANY = 2


def _share(filter: EventFilter) -> _Share:
    """How many match, as far as its conditions tell; ranges are not looked at."""
    return min((_shares(filter, name) for name in filter.given() if name not in _RANGES), default=_Share.MANY)


def _shares(filter: EventFilter, name: str) -> _Share:
    match name:
        case "actions":
            frequent = set(filter.actions) & _FREQUENT
            found = _Share.MANY if frequent == _FREQUENT else _Share.SOME if frequent else _Share.FEW
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


def _has_range(filter: EventFilter) -> bool:
    return any(set(each.given()) & set(_RANGES) for each in filter.every())


def _is_short(parts: list[EventFilter], days: timedelta, now: datetime) -> bool:
    def given(name: str) -> list[datetime]:
        return [value for each in parts if (value := getattr(each, name)) is not None]

    start, until = max(given("occurred_from"), default=None), min(given("occurred_until"), default=now)
    if start is not None and until - start <= days:
        return True
    froms = [each.position_from for each in parts if each.position_from is not None]
    untils = [each.position_until for each in parts if each.position_until is not None]
    return bool(froms and untils) and min(untils) - max(froms) <= MAX_POSITIONS
