"""What a lead would find: between which positions, and about how many events by PostgreSQL's statistics."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from event_store.database import Connection
from event_store.statements import load
from projections.conditions import Parameters
from projections.encoding import utc
from projections.filters import EventFilter
from projections.planning import Lead, Way, ways

_SQL = load(__package__, "activity.sql")

TABLES = {
    "patient": ("patient_timeline", ("patient_id",)),
    "device": ("device_timeline", ("device_id",)),
    "resource": ("activity_resource", ("type", "id")),
}
"""Leads that begin in a table of their own, and the columns of its key that they give."""
COLUMNS = {
    "actor": "activity.actor_id",
    "user": "activity.actor_id",
    "service": "activity.source",
    "source": "activity.source",
    "session": "activity.session",
    "correlation_id": "activity.correlation_id",
    "address": "activity.address",
    "type": "activity.type",
    "outcome": "activity.outcome",
}


class Bounds(Struct, frozen=True):
    """A range of positions, both ends in it, outside of which nothing matches."""

    oldest: int
    newest: int


def expected(connection: Connection, filter: EventFilter, as_of: int) -> float:
    """About how many events have to be looked at for all that match."""
    bounding = Bounding(connection, as_of)
    found = ways(filter, lambda each: weigh(connection, each, bounding))
    if any(way.lead is None for way in found):
        return math.inf
    return sum(weigh(connection, found, bounding))


def weigh(connection: Connection, found: Sequence[Way], bounding: Bounding) -> list[float]:
    """How many events each lead finds, by PostgreSQL's statistics; no table is read."""
    return [_rows(connection, way, bounding) for way in found]


def _rows(connection: Connection, way: Way, bounding: Bounding) -> float:
    bounds = bounding.of(way)
    if bounds is None or way.lead is None or not way.lead.values:
        return 0.0
    parameters = Parameters()
    reading = _reading(way.lead, bounds, parameters)
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {reading}", parameters)
        [(plans,)] = cursor.fetchall()
    return float(plans[0]["Plan"]["Plan Rows"])


def _reading(lead: Lead, bounds: Bounds, parameters: Parameters) -> str:
    """The statement that would read all that a lead finds."""
    table, columns = TABLES.get(lead.name, ("activity", (COLUMNS.get(lead.name, "activity.emergency"),)))
    if lead.name == "resource":
        given = zip(columns, lead.values, strict=False)
        conditions = [f"{column} = {parameters.add(value)}" for column, value in given]
    else:
        conditions = [f"{columns[0]} = ANY ({parameters.add(list(lead.values))})"]
    oldest, newest = parameters.add(bounds.oldest), parameters.add(bounds.newest)
    conditions.append(f"position BETWEEN {oldest} AND {newest}")
    return f"SELECT FROM {table} WHERE {' AND '.join(conditions)}"


class Bounding:
    """Bounds of ways. A time range is also a range of positions, which bounds what has to be walked."""

    def __init__(self, connection: Connection, as_of: int) -> None:
        self._connection = connection
        self._as_of = as_of
        self._hours: dict[tuple[datetime | None, datetime | None], Bounds | None] = {}

    def of(self, way: Way) -> Bounds | None:
        """None when nothing is within them."""
        start = max(_given(way.rest, "occurred_from"), default=None)
        until = min(_given(way.rest, "occurred_until"), default=None)
        oldest = max(_given(way.rest, "position_from"), default=0)
        newest = min([self._as_of, *(position - 1 for position in _given(way.rest, "position_until"))])
        if start is not None or until is not None:
            if (start, until) not in self._hours:
                self._hours[start, until] = _of_hours(self._connection, start, until)
            within = self._hours[start, until]
            if within is None:
                return None
            oldest, newest = max(oldest, within.oldest), min(newest, within.newest)
        return Bounds(oldest, newest) if oldest <= newest else None


def _given(parts: Iterable[EventFilter], name: str) -> list[Any]:
    found = [value for part in parts if (value := getattr(part, name)) is not None]
    return [utc(value) if isinstance(value, datetime) else value for value in found]


def _of_hours(connection: Connection, start: datetime | None, until: datetime | None) -> Bounds | None:
    hour = start.replace(minute=0, second=0, microsecond=0) if start else "-infinity"
    with connection.cursor() as cursor:
        cursor.execute(_SQL["hour_bounds"], {"from": hour, "until": until or "infinity"})
        [(first, last)] = cursor.fetchall()
    return None if first is None else Bounds(first, last)
