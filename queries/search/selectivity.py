"""The size of a driving condition's result: a range of positions, and a number of events by the statistics."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from event_store.database import Connection
from event_store.statements import load
from queries.filters.event_filter import Equality
from queries.filters.sql import Parameters, hash_conditions, pair_in
from queries.search.access_paths import AccessPath
from queries.search.ranges import range_of

_SQL = load(__package__, "selectivity.sql")

_SKIPPED = 50
"""Entries of an index that are compared in the time in which one event is read."""


class Bounds(Struct, frozen=True):
    """A range of positions, both ends in it, outside of which nothing matches."""

    oldest: int
    newest: int


def estimate_rows(
    connection: Connection, paths: Sequence[AccessPath], bounds_finder: BoundsFinder
) -> list[float]:
    """How many events the driving condition of each path reads, by PostgreSQL's statistics; no table is read.

    An entry of its index that is skipped counts a little. A path without a driving condition reads all in its bounds.
    """
    parameters = Parameters()
    statements: list[str] = []
    places: list[int | None] = []
    walked: list[float] = []
    for path in paths:
        bounds = bounds_finder.of(path)
        is_walk = bounds is not None and path.driver is None
        walked.append(bounds.newest - bounds.oldest + 1.0 if bounds is not None and is_walk else 0.0)
        if bounds is None or path.driver is None or not path.driver.values:
            places.append(None)
            continue
        places.append(len(statements))
        statement = _statement(path.driver, bounds, parameters)
        compared = index_conditions(path, parameters)
        statements += [statement, " AND ".join([statement, *compared])]
    rows = _rows(connection, statements, parameters) if statements else []
    return [
        walk if place is None else rows[place + 1] + (rows[place] - rows[place + 1]) / _SKIPPED
        for place, walk in zip(places, walked, strict=True)
    ]


def _rows(connection: Connection, statements: Sequence[str], parameters: Parameters) -> list[float]:
    """How many rows each statement would give.

    One EXPLAIN covers all; the planner estimates each subquery separately.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            f"EXPLAIN (FORMAT JSON) SELECT {', '.join(f'ARRAY({each})' for each in statements)}", parameters
        )
        [(plans,)] = cursor.fetchall()
    return [float(each["Plan Rows"]) for each in plans[0]["Plan"]["Plans"]]


def index_conditions(path: AccessPath, parameters: Parameters) -> list[str]:
    """The conditions on hash codes that the index of the driving condition holds."""
    if path.driver is None:
        return []
    driver = path.driver.attribute
    return [text for part in path.rest for text in hash_conditions(part, driver, parameters)]


def _statement(driver: Equality, bounds: Bounds, parameters: Parameters) -> str:
    """The statement that would read all that a driving condition finds."""
    attribute, values = driver.attribute, driver.values
    if len(attribute.columns) > 1:
        compared = pair_in(attribute, attribute.table, values, parameters)
    else:
        compared = f"{attribute.columns[0]} = ANY ({parameters.add(list(values))})"
    oldest, newest = parameters.add(bounds.oldest), parameters.add(bounds.newest)
    return f"SELECT 1 FROM {attribute.table} WHERE {compared} AND position BETWEEN {oldest} AND {newest}"


class BoundsFinder:
    """The bounds of access paths. A range of times is also a range of positions, which bounds the walk."""

    def __init__(self, connection: Connection, as_of: int) -> None:
        self._connection = connection
        self._as_of = as_of
        self._hours: dict[tuple[datetime | None, datetime | None], Bounds | None] = {}

    def of(self, path: AccessPath) -> Bounds | None:
        """The bounds of a path; None when no position is within them."""
        range = range_of(path.rest)
        start, until = range.occurred_from, range.occurred_until
        oldest, newest = range.position_from or 0, self._as_of
        if range.position_until is not None:
            newest = min(newest, range.position_until - 1)
        if start is not None or until is not None:
            if (start, until) not in self._hours:
                self._hours[start, until] = bounds_of_hours(self._connection, start, until)
            within = self._hours[start, until]
            if within is None:
                return None
            oldest, newest = max(oldest, within.oldest), min(newest, within.newest)
        return Bounds(oldest, newest) if oldest <= newest else None


def bounds_of_hours(connection: Connection, start: datetime | None, until: datetime | None) -> Bounds | None:
    """The bounds of all events from the hour of `start` until `until`; None where there are none."""
    hour = start.replace(minute=0, second=0, microsecond=0) if start else "-infinity"
    with connection.cursor() as cursor:
        cursor.execute(_SQL["hour_bounds"], {"from": hour, "until": until or "infinity"})
        [(first, last)] = cursor.fetchall()
    return None if first is None else Bounds(first, last)
