"""Which counts are precomputed, and of which hours and days they are the sum.

A roll-up is a table of the number of events for each combination of its key, in each day or each hour. A count whose
conditions and bucket are columns of that key is the sum of whole days, of the whole hours before and after them, and of
single events in the parts at the ends of its range. Some indexes of single events carry the number of the hour: those
of the timelines, and of actors and addresses. The hours and days of one patient or actor are counted within them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from projections.models.activity import ACTIVITY, COUNT_DAY, COUNT_HOUR
from projections.models.device import TIMELINE as DEVICE_TIMELINE
from projections.models.patient import TIMELINE as PATIENT_TIMELINE
from projections.tables import Table
from queries.filters.attributes import USER
from queries.filters.conditions import BY_FIELD, Operator
from queries.filters.event_filter import GROUPS, CountBy, EventFilter
from queries.search.access_paths import conjuncts, plans
from queries.search.ranges import range_of

_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


def _fields(columns: Collection[str]) -> frozenset[str]:
    """The fields of `EventFilter` that compare nothing but these columns of an event."""
    return frozenset(
        field
        for field, condition in BY_FIELD.items()
        if condition.operator in {Operator.EQUAL, Operator.PREFIX}
        and (attribute := condition.attribute).table == "activity"
        # A user is an actor of some kinds.
        and (not attribute.where or (attribute is USER and "actor_kind" in columns))
        and set(columns).issuperset(attribute.columns)
    )


class Rollup(Struct, frozen=True, kw_only=True):
    """What makes a count quick: `fields` are the conditions and `by` the buckets that it can tell.

    `days` and `hours` are tables with the column `events`. `entries` is a table of single events with an index that
    begins with the column `first`, carries the number of the hour, and has all that `fields` compare. `alone`: an event
    may be in it several times, so a count is of one value of `first`, without another condition.
    """

    days: Table | None = None
    hours: Table | None = None
    entries: Table | None = None
    alone: bool = False
    fields: frozenset[str]
    by: frozenset[CountBy]
    first: str = ""

    @property
    def columns(self) -> list[tuple[str, str]]:
        """The tables that are read, each with a column that builds of older versions do not have."""
        found = [(each.name, "events") for each in (self.days, self.hours) if each is not None]
        return found if self.entries is None else [(self.entries.name, "hour")]


KINDS = Rollup(
    days=COUNT_DAY,
    hours=COUNT_HOUR,
    fields=_fields(set(COUNT_DAY.key) & set(COUNT_HOUR.key)),
    by=frozenset(CountBy) - {CountBy.ACTOR, CountBy.PATIENT},
)
_TIMES = frozenset({CountBy.HOUR, CountBy.DAY})


def _entries(table: Table, first: str, *others: str) -> Rollup:
    """The hours in the index of `table` that begins with `first` and has the columns `others`."""
    return Rollup(entries=table, fields=_fields({first, *others}), by=_TIMES, first=first)


def _timeline(table: Table, field: str, first: str) -> Rollup:
    return Rollup(entries=table, alone=True, fields=frozenset({field}), by=_TIMES, first=first)


_ROLLUPS = (
    KINDS,
    _timeline(PATIENT_TIMELINE, "patient", "patient_id"),
    _timeline(DEVICE_TIMELINE, "device", "device_id"),
    _entries(ACTIVITY, "actor_id", "actor_kind", "outcome"),
    _entries(ACTIVITY, "address"),
)


class Span(NamedTuple):
    """From `start` until before `until`; None is no bound."""

    start: datetime | None
    until: datetime | None


class CountSpans(Struct, frozen=True, kw_only=True):
    """The parts of a count, none of which overlap.

    `days` and `hours` are whole ones. `edges` are parts of an hour or a day, whose events are counted one by one: those
    of `counted`, or of the whole filter if that is None. `rest` are further events, which the roll-up can't tell; they
    are counted one by one too. `conditions` are those of the rows without the range of times.
    """

    rollup: Rollup
    conditions: tuple[EventFilter, ...]
    days: tuple[Span, ...]
    hours: tuple[Span, ...]
    edges: tuple[Span, ...]
    counted: EventFilter | None = None
    rest: EventFilter | None = None


def spans_of(filter: EventFilter, by: CountBy) -> CountSpans | None:
    """The parts of a count; None if it is not precomputed, or its range has no whole hour or day."""
    every = tuple(conjuncts(filter))
    found = (_spans(every, by, rollup) for rollup in _ROLLUPS)
    return next((each for each in found if each is not None), None) or _split(every, by)


def _spans(every: tuple[EventFilter, ...], by: CountBy, rollup: Rollup) -> CountSpans | None:
    conditions = _without_range(every)
    if by not in rollup.by or not _given(conditions) <= rollup.fields:
        return None
    if rollup.alone and [each.given() for each in conditions] != [list(rollup.fields)]:
        return None
    if rollup.first and not any(
        rollup.first in equality.attribute.columns for each in conditions for equality in each.equalities()
    ):
        return None
    range = range_of(every)
    start, until = range.occurred_from, range.occurred_until
    whole = Span(_at_or_after(start, _HOUR), _at_or_before(until, _HOUR))
    if _is_empty(whole):
        return None
    has_days = rollup.days is not None and by is not CountBy.HOUR
    days = whole
    if has_days:
        days = Span(_at_or_after(whole.start, _DAY), _at_or_before(whole.until, _DAY))
        has_days = not _is_empty(days)
    return CountSpans(
        rollup=rollup,
        conditions=conditions,
        days=(days,) if has_days else (),
        hours=_around(whole, days) if has_days else (whole,),
        edges=_around(Span(start, until), whole),
    )


def _split(every: tuple[EventFilter, ...], by: CountBy) -> CountSpans | None:
    """A count of which a part is precomputed: of an `or_`, the filters whose conditions are in the key.

    The events of the other filters are counted one by one, without those that the first have. So are the devices of
    somebody who also sees all events of a category.
    """
    for at, conjunct in enumerate(every):
        ready = tuple(each for each in conjunct.or_ if _given((each,)) <= KINDS.fields)
        others = tuple(each for each in conjunct.or_ if each not in ready)
        if not ready or not others:
            continue
        shared = (*every[:at], replace(conjunct, or_=()), *every[at + 1 :])
        counted = EventFilter(and_=(*shared, EventFilter(or_=ready)))
        rest = EventFilter(and_=(*shared, EventFilter(or_=others)), not_=EventFilter(or_=ready))
        spans = _spans(tuple(conjuncts(counted)), by, KINDS)
        if spans is not None and all(path.driver is not None for path in plans(rest)[0]):
            return replace(spans, counted=counted, rest=rest)
    return None


def _without_range(every: Iterable[EventFilter]) -> tuple[EventFilter, ...]:
    """The conditions without the range of times, each once."""
    found = dict.fromkeys(replace(each, occurred_from=None, occurred_until=None) for each in every)
    return tuple(each for each in found if each.given())


def _given(conditions: Iterable[EventFilter]) -> frozenset[str]:
    """The fields that are compared, also by filters within."""
    names = (name for condition in conditions for each in condition.every() for name in each.given())
    return frozenset(names) - frozenset(GROUPS)


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
