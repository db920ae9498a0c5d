"""What a lead would find: between which positions, and about how many events by PostgreSQL's statistics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from event_store.database import Connection
from event_store.statements import load
from projections.binary_rows import utc
from projections.hash_codes import OF_TIMELINES
from queries.access_paths import AccessPath, Driver
from queries.filter_sql import Parameters, hash_codes_of
from queries.filters import EventFilter

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


MARKS = {
    "patient": tuple(column.name for column in OF_TIMELINES),
    "device": tuple(column.name for column in OF_TIMELINES),
    "resource_type": ("type_mark", "source_mark"),
    "actor": ("type_mark", "source_mark", "resource_mark"),
    "user": ("type_mark", "source_mark", "resource_mark"),
    "address": ("type_mark", "source_mark", "resource_mark"),
    "service": ("type_mark", "resource_mark"),
    "source": ("type_mark", "resource_mark"),
    "type": ("source_mark",),
    "outcome": ("type_mark", "source_mark"),
}
"""What the index of a lead holds of each event, so that others are passed over within it."""
_PASSED_OVER = 50
"""So many entries of an index are compared while one event is looked at."""


class Bounds(Struct, frozen=True):
    """A range of positions, both ends in it, outside of which nothing matches."""

    oldest: int
    newest: int


def estimate_rows(connection: Connection, found: Sequence[AccessPath], bounding: BoundsFinder) -> list[float]:
    """How many events are looked at for each lead, by PostgreSQL's statistics; no table is read.

    What the lead's index passes over counts a little.
    """
    parameters = Parameters()
    readings: list[str] = []
    places: list[int | None] = []
    for way in found:
        bounds = bounding.of(way)
        if bounds is None or way.driver is None or not way.driver.values:
            places.append(None)
            continue
        places.append(len(readings))
        reading = _reading(way.driver, bounds, parameters)
        compared = marked(way, parameters)
        readings += [reading, " AND ".join([reading, *compared])] if compared else [reading, reading]
    rows = _rows(connection, readings, parameters) if readings else []
    return [
        0.0 if place is None else rows[place + 1] + (rows[place] - rows[place + 1]) / _PASSED_OVER
        for place in places
    ]


def _rows(connection: Connection, readings: Sequence[str], parameters: Parameters) -> list[float]:
    """How many rows each statement would give. All in one, each a part by itself that the planner leaves whole."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"EXPLAIN (FORMAT JSON) SELECT {', '.join(f'ARRAY({each})' for each in readings)}", parameters
        )
        [(plans,)] = cursor.fetchall()
    return [float(each["Plan Rows"]) for each in plans[0]["Plan"]["Plans"]]


def marked(way: AccessPath, parameters: Parameters) -> list[str]:
    """What is compared within the index of the way's lead."""
    if way.driver is None:
        return []
    name = way.driver.name
    if name == "resource" and len(way.driver.values) == 1:
        name = "resource_type"
    table = table_of(way.driver)
    return [text for part in way.rest for text in hash_codes_of(part, MARKS.get(name, ()), table, parameters)]


def table_of(lead: Driver) -> str:
    """The table whose index leads."""
    return TABLES[lead.name][0] if lead.name in TABLES else "activity"


def _reading(lead: Driver, bounds: Bounds, parameters: Parameters) -> str:
    """The statement that would read all that a lead finds."""
    table, columns = TABLES.get(lead.name, ("activity", (COLUMNS.get(lead.name, "activity.emergency"),)))
    if lead.name == "resource":
        given = zip(columns, lead.values, strict=False)
        conditions = [f"{column} = {parameters.add(value)}" for column, value in given]
    else:
        conditions = [f"{columns[0]} = ANY ({parameters.add(list(lead.values))})"]
    oldest, newest = parameters.add(bounds.oldest), parameters.add(bounds.newest)
    conditions.append(f"position BETWEEN {oldest} AND {newest}")
    return f"SELECT 1 FROM {table} WHERE {' AND '.join(conditions)}"


class BoundsFinder:
    """Bounds of ways. A time range is also a range of positions, which bounds what has to be walked."""

    def __init__(self, connection: Connection, as_of: int) -> None:
        self._connection = connection
        self._as_of = as_of
        self._hours: dict[tuple[datetime | None, datetime | None], Bounds | None] = {}

    def of(self, way: AccessPath) -> Bounds | None:
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
