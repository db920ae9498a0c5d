"""Counts of events in buckets, for charts and for tables of the most frequent values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from msgspec import Struct

from domain.errors import ConflictError, Reason, RejectedError
from domain.event import Outcome
from event_store.database import Connection, only
from event_store.statements import load
from projections.hash_codes import OUTCOMES
from projections.models.activity import HOUR, SPAN_BITS
from queries.filters.event_filter import CountBy, Distinct, EventFilter
from queries.filters.sql import Parameters, conditions_of
from queries.search.access_paths import narrowed, plans
from queries.search.count_spans import CountSpans, Span
from queries.search.page_sql import build, compose_counts, compose_distinct_counts, compose_sums
from queries.search.prepared import PreparedQuery
from queries.search.selectivity import Bounds, bounds_of_hours

_SQL = load(__package__, "counts.sql")


_LENGTHS = {CountBy.HOUR: timedelta(hours=1), CountBy.DAY: timedelta(days=1)}
_KEYS = {
    CountBy.TYPE: "activity.type",
    CountBy.ACTOR: "activity.actor_id",
    CountBy.PATIENT: "unnest(activity.patients)",
    CountBy.SERVICE: "activity.source",
    CountBy.ACTION: "activity.action",
    CountBy.OUTCOME: "activity.outcome",
    CountBy.HOUR: "date_trunc('hour', activity.occurred_at)",
    CountBy.DAY: "date_trunc('day', activity.occurred_at)",
}


_UNREADY = (
    "this count is precomputed, and the live build of the projection activity has no such numbers yet: ask for a range "
    "of times, or wait until an operator has rebuilt it (audit-trail projections rebuild activity)"
)


class Bucket(Struct, frozen=True):
    """`key` is None for events without a value. `from_at` and `until_at` are set for an hour or a day.

    `patients` and `actors` are how many different ones the events name; None unless they were asked for.
    """

    key: str | None
    from_at: datetime | None
    until_at: datetime | None
    events: int
    patients: int | None = None
    actors: int | None = None


class EventCounts(Struct, frozen=True):
    """The largest buckets, or the newest hours or days. `events` is the sum of all `bucket_count` of them.

    A patient or actor of several buckets counts in each of them, and once in `patients` or `actors`.
    """

    buckets: list[Bucket]
    bucket_count: int
    events: int
    as_of_position: int
    patients: int | None = None
    actors: int | None = None


def check_countable(query: PreparedQuery) -> None:
    """Raise `RejectedError` when the count would read the whole trail."""
    if not query.is_bounded and query.precomputed is None:
        raise RejectedError(
            Reason.MISSING_FIELD,
            "counting needs a range of times, or a condition that the documentation calls indexed",
            field="occurred_from",
        )


def count_events(
    connection: Connection, query: PreparedQuery, limit: int, as_of: int, *, rolled_up: int | None = None
) -> EventCounts:
    """The buckets in the caller's snapshot. `query` was prepared for counting.

    `rolled_up` is the position up to which the roll-ups are complete, None for `as_of`. Where they are further than
    the other tables that the count reads, and where the live build is of before they were added, events are counted
    instead. Raises `ConflictError` when that would read the whole trail.
    """
    by = query.by
    assert by is not None
    if as_of < 0:
        return _no_events(query, as_of)
    if query.distinct:
        return _with_distinct(connection, query, by, limit, as_of)
    spans = query.precomputed
    if spans is not None and _is_ready(connection, spans, as_of, rolled_up):
        rows = _of_spans(connection, query, spans, by, limit, as_of)
    elif spans is None or query.is_bounded:
        rows = _of_events(connection, query, by, limit, as_of)
    else:
        raise ConflictError(Reason.MISSING_FIELD, _UNREADY, field="occurred_from")
    bucket_count, events = (rows[0][2], rows[0][3]) if rows else (0, 0)
    return EventCounts([_bucket(by, key, count) for key, count, _, _ in rows], bucket_count, events, as_of)


def _is_ready(connection: Connection, spans: CountSpans, as_of: int, rolled_up: int | None) -> bool:
    if rolled_up is not None and (rolled_up < as_of or (rolled_up > as_of and not spans.rollup.alone)):
        return False
    tables, columns = zip(*spans.rollup.columns, strict=True)
    with connection.cursor() as cursor:
        cursor.execute(_SQL["have_columns"], {"tables": list(tables), "columns": list(columns)})
        return bool(only(cursor))


def _of_spans(
    connection: Connection, query: PreparedQuery, spans: CountSpans, by: CountBy, limit: int, as_of: int
) -> Sequence[Any]:
    every = query.plans if spans.counted is None else plans(spans.counted)
    windows = [EventFilter(occurred_from=each.start, occurred_until=each.until) for each in spans.edges]
    by_window = [narrowed(every, each) for each in windows]
    one_by_one = [tuple(chain.from_iterable(each)) for each in zip(*by_window, strict=True)]
    if spans.rest is not None:
        one_by_one = [(*rest, *each) for rest in plans(spans.rest) for each in one_by_one or [()]]
    built = build(connection, one_by_one, as_of) if one_by_one else None
    parameters = Parameters() if built is None else built.parameters
    sums = list(_sums(connection, spans, by, as_of, parameters))
    if built is None and not sums:
        return []
    statement = compose_sums(built, sums, _KEYS[by], _sorting(by, "sum(events)"))
    return _rows(connection, statement, parameters, limit, "plan_sums")


def _sums(
    connection: Connection, spans: CountSpans, by: CountBy, as_of: int, parameters: Parameters
) -> Iterator[str]:
    """A statement for each span, which selects `key` and `events`."""
    rollup = spans.rollup
    if rollup.entries is not None:
        for span in spans.hours:
            bounds = bounds_of_hours(connection, *span)
            if bounds is not None:
                yield _sum_of_entries(spans, span, bounds, by, as_of, parameters)
        return
    parts = ((rollup.hours, "hour", spans.hours), (rollup.days, "day", spans.days))
    every = [(table.name, unit, span) for table, unit, given in parts if table for span in given]
    if by in _LENGTHS and not spans.conditions:
        every = [(HOUR.name, "hour", span) for _, _, span in every]  # which has a single row for an hour
    for name, unit, span in every:
        key = _KEYS[by].replace("occurred_at", unit)
        conditions = [*_conditions(spans, parameters), *_bounds(f"activity.{unit}", span, parameters)]
        yield f"SELECT {key} AS key, events FROM {name} AS activity WHERE {' AND '.join(conditions)}"


def _sum_of_entries(
    spans: CountSpans, span: Span, bounds: Bounds, by: CountBy, as_of: int, parameters: Parameters
) -> str:
    """The statement that an index alone answers. `bounds` are those of the events in `span`."""
    table = spans.rollup.entries
    assert table is not None
    oldest, newest = parameters.add(bounds.oldest), parameters.add(min(bounds.newest, as_of))
    hours = [
        f"hour {sign} {parameters.add(int(at.timestamp()) // 3600)}"
        for sign, at in ((">=", span.start), ("<", span.until))
        if at is not None
    ]
    if spans.rollup.alone:
        [condition] = spans.conditions
        [equality] = condition.equalities()
        compared = [f"{equality.attribute.columns[0]} = {parameters.add(equality.values[0])}"]
        place, shift = "position", ""
    else:
        compared = _conditions(spans, parameters)
        place, shift = "span", f" >> {SPAN_BITS}"
    within = " AND ".join([*compared, *hours, f"{place} BETWEEN {oldest}{shift} AND {newest}{shift}"])
    key = _KEYS[by].replace("activity.occurred_at", "to_timestamp(hour * 3600.0)")
    return (
        f"SELECT {key} AS key, count(*) AS events FROM {table.name} AS activity WHERE {within} GROUP BY hour"
    )


def _conditions(spans: CountSpans, parameters: Parameters) -> list[str]:
    """The conditions of the rows, which name the table of events."""
    return [text for each in spans.conditions for text in conditions_of(each, parameters)]


def _bounds(column: str, span: Span, parameters: Parameters) -> Iterator[str]:
    yield f"{column} >= {parameters.add(span.start or '-infinity')}"
    yield f"{column} < {parameters.add(span.until or 'infinity')}"


def _of_events(
    connection: Connection, query: PreparedQuery, by: CountBy, limit: int, as_of: int
) -> Sequence[Any]:
    built = build(connection, query.plans, as_of)
    if built is None:
        return []
    statement = compose_counts(built, _key(by, query, built.parameters), _sorting(by, "count(*)"))
    return _rows(connection, statement, built.parameters, limit)


def _with_distinct(
    connection: Connection, query: PreparedQuery, by: CountBy, limit: int, as_of: int
) -> EventCounts:
    patients, actors = (each in query.distinct for each in (Distinct.PATIENTS, Distinct.ACTORS))
    built = build(connection, query.plans, as_of)
    if built is None:
        return _no_events(query, as_of)
    statement = compose_distinct_counts(
        built,
        _key(by, query, built.parameters),
        _sorting(by, "events"),
        actor=_actor(query, built.parameters) if actors else None,
        patients="activity.patients" if patients else None,
    )
    total, *rows = _rows(connection, statement, built.parameters, limit)
    buckets = [_bucket(by, key, count, patients, actors) for key, count, _, actors, patients in rows]
    _, events, bucket_count, all_actors, all_patients = total
    return EventCounts(buckets, bucket_count, events, as_of, all_patients, all_actors)


def _no_events(query: PreparedQuery, as_of: int) -> EventCounts:
    return EventCounts([], 0, 0, as_of, **{each.value: 0 for each in query.distinct})


def _rows(
    connection: Connection, statement: str, parameters: Parameters, limit: int, planning: str = "plan_counts"
) -> Sequence[Any]:
    with connection.cursor() as cursor:
        cursor.execute(_SQL[planning])
        cursor.execute(statement, parameters | {"limit": limit})
        return cursor.fetchall()


def _sorting(by: CountBy, events: str) -> str:
    return "key DESC" if by in _LENGTHS else f"{events} DESC, key"


def _key(by: CountBy, query: PreparedQuery, parameters: Parameters) -> str:
    return _actor(query, parameters) if by is CountBy.ACTOR else _KEYS[by]


def _actor(query: PreparedQuery, parameters: Parameters) -> str:
    """The actor's id, NULL where it is hidden."""
    actor = _KEYS[CountBy.ACTOR]
    if query.visible_actors is None:
        return actor
    visible = " AND ".join(conditions_of(query.visible_actors, parameters))
    return f"CASE WHEN {visible} THEN {actor} END"


def _bucket(
    by: CountBy, key: Any, count: int, patients: int | None = None, actors: int | None = None
) -> Bucket:
    if by in _LENGTHS:
        return Bucket(key.isoformat(), key, key + _LENGTHS[by], count, patients, actors)
    if by is CountBy.OUTCOME:
        key = Outcome(OUTCOMES[key]).value
    return Bucket(key, None, None, count, patients, actors)
