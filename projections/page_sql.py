"""Pages of events: a filter becomes one statement whose cost follows the page, not the trail.

Every condition on an indexed column is served by an index that ends in the position, or in its span, so PostgreSQL
reads newest first and stops at the page's end. Bounds are repeated for each joined table, because an index is only
entered in the middle by a bound on its own column. Names come from the code alone; every value is a parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from msgspec import Struct, field

from event_store.database import Connection
from event_store.statements import load
from projections.activity import SPAN_BITS
from projections.conditions import Parameters, conditions_of, types_of
from projections.encoding import utc
from projections.filters import EventFilter
from projections.planning import Alternative, alternatives

_SQL = load(__package__, "activity.sql")

_TIMELINES = (
    ("patient", "patient_timeline", "patient_id"),
    ("device", "device_timeline", "device_id"),
    ("resource_type", "activity_resource", "type"),
    ("resource_id", "activity_resource", "id"),
)
"""Conditions of a lead that are tables to begin in; of another conjunct they are looked up event by event."""


class Way(Struct):
    """One way to match, as the parts of a statement.

    `by_span`: an index of the activity table leads, and so gives spans in order, not positions. `distinct`: it may
    find an event twice.
    """

    joins: list[str] = field(default_factory=list)
    aliases: list[str] = field(default_factory=lambda: ["activity"])
    conditions: list[str] = field(default_factory=list)
    distinct: bool = False
    by_span: bool = False


class Query(Struct):
    """The ways to match, of which the results are put together. `distinct`: two ways may find the same event."""

    ways: list[Way]
    parameters: Parameters
    distinct: bool


class Bounds(Struct, frozen=True):
    """A range of positions, both ends in it, outside of which nothing matches."""

    oldest: int
    newest: int


def build(connection: Connection, filter: EventFilter, as_of: int) -> Query | None:
    """The query of a filter, None when nothing can match."""
    found = alternatives(filter)
    hours: dict[tuple[datetime | None, datetime | None], Bounds | None] = {}
    parameters = Parameters()
    ways = []
    for each in found:
        bounds = _bounds(connection, each, as_of, hours)
        if bounds is not None and all(types_of(part) != [] for part in each.conjuncts()):
            ways.append(_way(each, bounds, parameters))
    if not ways:
        return None
    return Query(ways, parameters, distinct=not all(each.lists for each in found))


class Place(NamedTuple):
    """A place in the order of time: events of the same time are in the order of the log."""

    occurred_at: datetime
    position: int


def compose(
    query: Query, after: int | None, before: int | None, *, newest_first: bool
) -> tuple[str, dict[str, Any]]:
    """The statement of a page in the order of positions, and its parameters, all but ``limit``."""
    given, signs = _given_places({"after": after, "before": before})
    order = "DESC" if newest_first else "ASC"

    def statement(way: Way) -> str:
        limits = [f"{name}.position {sign} %({at})s" for name in way.aliases for at, sign in signs.items()]
        sorting = f"activity.position {order}"
        if way.by_span:
            sorting = f"activity.span {order}, {sorting}"
            limits += [f"activity.span {sign}= %({at})s >> {SPAN_BITS}" for at, sign in signs.items()]
        return _select(way, "activity.position", limits, sorting)

    return _together(query, statement, "position", f"position {order}"), query.parameters | given


def compose_by_time(
    query: Query, after: Place | None, before: Place | None, *, newest_first: bool
) -> tuple[str, dict[str, Any]]:
    """The statement of a page in the order of time, and its parameters, all but ``limit``.

    It sorts what it finds: `query` has to be bounded to some hours.
    """
    given, signs = _given_places({"after": after, "before": before})
    order = "DESC" if newest_first else "ASC"
    columns = "position, occurred_at"

    def statement(way: Way) -> str:
        limits = [f"(activity.occurred_at, activity.position) {sign} %({at})s" for at, sign in signs.items()]
        sorting = f"activity.occurred_at {order}, activity.position {order}"
        return _select(way, "activity.position, activity.occurred_at", limits, sorting)

    return (
        _together(query, statement, columns, f"occurred_at {order}, position {order}"),
        query.parameters | given,
    )


def compose_counts(query: Query, key: str, sorting: str) -> str:
    """The statement that counts by `key`: the key, its events, the number of keys, and the number of all events."""

    def statement(way: Way) -> str:
        select = "SELECT DISTINCT" if way.distinct else "SELECT"
        joins, conditions = " ".join(way.joins), " AND ".join(way.conditions)
        return f"{select} activity.position, {key} AS key FROM activity {joins} WHERE {conditions}"

    # UNION takes an event once that matches in two ways.
    found = (" UNION " if query.distinct else " UNION ALL ").join(map(statement, query.ways))
    return (
        "SELECT key, count(*), count(*) OVER (), (sum(count(*)) OVER ())::bigint"
        f" FROM ({found}) AS found GROUP BY key ORDER BY {sorting} LIMIT %(limit)s"
    )


def _given_places(places: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The bounds that are given, and their signs: older than `after`, newer than `before`."""
    given = {name: value for name, value in places.items() if value is not None}
    return given, {name: "<" if name == "after" else ">" for name in given}


def _select(way: Way, columns: str, limits: Sequence[str], sorting: str) -> str:
    return (
        f"{'SELECT DISTINCT' if way.distinct else 'SELECT'} {columns} FROM activity {' '.join(way.joins)}"
        f" WHERE {' AND '.join([*way.conditions, *limits])} ORDER BY {sorting} LIMIT %(limit)s"
    )


def _together(query: Query, statement: Callable[[Way], str], columns: str, sorting: str) -> str:
    statements = [statement(way) for way in query.ways]
    if len(statements) == 1:
        return statements[0]
    union = " UNION ALL ".join(f"({each})" for each in statements)
    select = "SELECT DISTINCT" if query.distinct else "SELECT"
    return f"{select} {columns} FROM ({union}) AS found ORDER BY {sorting} LIMIT %(limit)s"


def _way(each: Alternative, bounds: Bounds, parameters: Parameters) -> Way:
    way = Way()
    _begin(way, each.lead, parameters)
    way.conditions.extend(conditions_of(each.lead, parameters, without=[name for name, _, _ in _TIMELINES]))
    for part in each.rest:
        way.conditions.extend(conditions_of(part, parameters))
    if each.lists and each.lead.outcomes:
        way.conditions.append("activity.outcome <> 0")  # what the partial index says of itself
    oldest, newest = parameters.add(bounds.oldest), parameters.add(bounds.newest)
    way.by_span = not way.joins and not each.walks
    if way.by_span:
        way.conditions.append(f"activity.span BETWEEN {oldest} >> {SPAN_BITS} AND {newest} >> {SPAN_BITS}")
    way.conditions.extend(f"{alias}.position BETWEEN {oldest} AND {newest}" for alias in way.aliases)
    return way


def _begin(way: Way, lead: EventFilter, parameters: Parameters) -> None:
    for name, table, column in _TIMELINES:
        value = getattr(lead, name)
        if value is None:
            continue
        if table not in way.aliases:
            way.joins.append(f"INNER JOIN {table} ON {table}.position = activity.position")
            way.aliases.append(table)
        way.conditions.append(f"{table}.{column} = {parameters.add(value)}")
    # An event may name several resources of one type.
    way.distinct = lead.resource_type is not None and lead.resource_id is None
    if lead.correlation_id is not None:
        # The index is on the hash.
        hashed = f"hashtextextended({parameters.add(lead.correlation_id)}, 0)"
        way.conditions.append(f"hashtextextended(activity.correlation_id, 0) = {hashed}")


def _bounds(
    connection: Connection,
    each: Alternative,
    as_of: int,
    hours: dict[tuple[datetime | None, datetime | None], Bounds | None],
) -> Bounds | None:
    """A time range is also a range of positions, which bounds what has to be walked; None when it holds nothing."""
    parts = list(each.conjuncts())
    start = max(_given(parts, "occurred_from"), default=None)
    until = min(_given(parts, "occurred_until"), default=None)
    oldest = max(_given(parts, "position_from"), default=0)
    newest = min([as_of, *(position - 1 for position in _given(parts, "position_until"))])
    if start is not None or until is not None:
        if (start, until) not in hours:
            hours[start, until] = _of_hours(connection, start, until)
        within = hours[start, until]
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
