"""Counts of events in buckets, for charts and for tables of the most frequent values."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct

from domain.errors import Reason, RejectedError
from domain.event import Outcome
from event_store.database import Connection
from event_store.statements import load
from projections.binary_rows import utc
from projections.hash_codes import OUTCOMES
from queries.filters.event_filter import CountBy, EventFilter
from queries.search.access_paths import Plan
from queries.search.page_sql import build, compose_counts
from queries.search.prepared import PreparedQuery
from queries.search.time_limits import is_of_whole_hours

_SQL = load(__package__, "counts.sql")


_LENGTHS = {CountBy.HOUR: timedelta(hours=1), CountBy.DAY: timedelta(days=1)}
_KEYS = {
    CountBy.TYPE: "activity.type",
    CountBy.ACTOR: "activity.actor_id",
    CountBy.SERVICE: "activity.source",
    CountBy.ACTION: "activity.action",
    CountBy.OUTCOME: "activity.outcome",
    CountBy.HOUR: "date_trunc('hour', activity.occurred_at)",
    CountBy.DAY: "date_trunc('day', activity.occurred_at)",
}


class Bucket(Struct, frozen=True):
    """`key` is None for events without a value. `from_at` and `until_at` are set for an hour or a day."""

    key: str | None
    from_at: datetime | None
    until_at: datetime | None
    events: int


class EventCounts(Struct, frozen=True):
    """The largest buckets, or the newest hours or days. `events` is the sum of all `bucket_count` of them."""

    buckets: list[Bucket]
    bucket_count: int
    events: int
    as_of_position: int


def check_countable(query: PreparedQuery) -> None:
    """Raise `RejectedError` when the count would read the whole trail."""
    if not query.is_bounded and not is_of_whole_hours(query.combined, query.by):
        raise RejectedError(
            Reason.MISSING_FIELD,
            "counting needs a range of times, or a condition that the documentation calls indexed",
            field="occurred_from",
        )


def count_events(connection: Connection, query: PreparedQuery, limit: int, as_of: int) -> EventCounts:
    """The buckets in the caller's snapshot. `query` was prepared for counting."""
    by = query.by
    assert by is not None
    if is_of_whole_hours(query.combined, by):
        rows = _of_hours(connection, query.combined, by, limit)
    else:
        rows = _of_events(connection, query.plans, by, limit, as_of)
    bucket_count, events = (rows[0][2], rows[0][3]) if rows else (0, 0)
    return EventCounts([_bucket(by, key, count) for key, count, _, _ in rows], bucket_count, events, as_of)


def _of_hours(connection: Connection, filter: EventFilter, by: CountBy, limit: int) -> Sequence[Any]:
    start, until = filter.occurred_from, filter.occurred_until
    with connection.cursor() as cursor:
        cursor.execute(
            _SQL["count_hours"],
            {
                "unit": by.value,
                "from": "-infinity" if start is None else utc(start),
                "until": "infinity" if until is None else utc(until),
                "limit": limit,
            },
        )
        return cursor.fetchall()


def _of_events(
    connection: Connection, plans: Sequence[Plan], by: CountBy, limit: int, as_of: int
) -> Sequence[Any]:
    query = build(connection, plans, as_of)
    if query is None:
        return []
    sorting = "key DESC" if by in _LENGTHS else "count(*) DESC, key"
    with connection.cursor() as cursor:
        cursor.execute(_SQL["plan_counts"])
        cursor.execute(compose_counts(query, _KEYS[by], sorting), query.parameters | {"limit": limit})
        return cursor.fetchall()


def _bucket(by: CountBy, key: Any, count: int) -> Bucket:
    if by in _LENGTHS:
        return Bucket(key.isoformat(), key, key + _LENGTHS[by], count)
    if by is CountBy.OUTCOME:
        return Bucket(Outcome(OUTCOMES[key]).value, None, None, count)
    return Bucket(key, None, None, count)
