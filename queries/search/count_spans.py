"""Which counts are precomputed, and of which hours and days they are the sum.

`activity_count_day` and `activity_count_hour` hold the number of events for each combination of their key. A count
whose conditions and bucket are columns of that key is the sum of whole days, of the whole hours before and after them,
and of single events in the two parts of an hour at the ends of its range.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from projections.models.activity import COUNT_DAY, COUNT_HOUR
from queries.filters.conditions import BY_FIELD, Operator
from queries.filters.event_filter import GROUPS, CountBy, EventFilter
from queries.search.access_paths import conjuncts
from queries.search.ranges import range_of

_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_COLUMNS = set(COUNT_DAY.key) & set(COUNT_HOUR.key)
_COUNTED = {
    field
    for field, condition in BY_FIELD.items()
    if condition.operator is Operator.EQUAL
    and condition.attribute.table == "activity"
    and not condition.attribute.where
    and _COLUMNS.issuperset(condition.attribute.columns)
}
"""The fields of `EventFilter` that compare a column of the key."""


class Span(NamedTuple):
    """From `start` until before `until`; None is no bound."""

    start: datetime | None
    until: datetime | None


class CountSpans(Struct, frozen=True, kw_only=True):
    """The parts of a count, none of which overlap.

    `days` and `hours` are whole ones. `edges` are parts of an hour, whose events are counted one by one. `conditions`
    are those of the filter without its range of times.
    """

    conditions: tuple[EventFilter, ...]
    days: tuple[Span, ...]
    hours: tuple[Span, ...]
    edges: tuple[Span, ...]


def spans_of(filter: EventFilter, by: CountBy) -> CountSpans | None:
    """The parts of a count; None if it is not precomputed, or its range has no whole hour."""
    every = tuple(conjuncts(filter))
    conditions = tuple(replace(each, occurred_from=None, occurred_until=None) for each in every)
    given = {name for condition in conditions for each in condition.every() for name in each.given()}
    if by is CountBy.ACTOR or not _COUNTED.issuperset(given.difference(GROUPS)):
        return None
    range = range_of(every)
    start, until = range.occurred_from, range.occurred_until
    whole = Span(_at_or_after(start, _HOUR), _at_or_before(until, _HOUR))
    if _is_empty(whole):
        return None
    days = whole
    if by is not CountBy.HOUR:
        days = Span(_at_or_after(whole.start, _DAY), _at_or_before(whole.until, _DAY))
    has_days = by is not CountBy.HOUR and not _is_empty(days)
    return CountSpans(
        conditions=tuple(each for each in conditions if each.given()),
        days=(days,) if has_days else (),
        hours=_around(whole, days) if has_days else (whole,),
        edges=_around(Span(start, until), whole),
    )


def _around(outer: Span, inner: Span) -> tuple[Span, ...]:
    """What of `outer` is before and after `inner`, which lies in it."""
    ends = (Span(outer.start, inner.start), Span(inner.until, outer.until))
    return tuple(each for each in ends if each.start != each.until)


def _is_empty(span: Span) -> bool:
    return span.start is not None and span.until is not None and span.start >= span.until


def _at_or_before(moment: datetime | None, unit: timedelta) -> datetime | None:
    if moment is None:
        return None
    hour = moment.replace(minute=0, second=0, microsecond=0)
    return hour.replace(hour=0) if unit is _DAY else hour


def _at_or_after(moment: datetime | None, unit: timedelta) -> datetime | None:
    begin = _at_or_before(moment, unit)
    return begin if moment is None or begin is None or begin == moment else begin + unit
