"""Pages of events: a filter becomes one statement whose cost follows the page, not the trail.

Every condition on an indexed column is served by an index that ends in the position, or in its span, so PostgreSQL
reads newest first and stops at the page's end. Bounds are repeated for each joined table, because an index is only
entered in the middle by a bound on its own column. Names come from the code alone; every value is a parameter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from domain.catalogue import CATALOGUE
from domain.event import Outcome
from event_store.database import Connection
from event_store.reading import events_at
from event_store.statements import load
from projections.activity import OUTCOME_CODES, SPAN_BITS
from projections.encoding import utc
from projections.filters import EventFilter, EventPage, PageRequest
from projections.registry import open_snapshot

_SQL = load(__package__, "activity.sql")

_EQUAL = {
    "actor": "activity.actor_id",
    "user": "activity.actor_id",
    "service": "activity.source",
    "source": "activity.source",
    "session": "activity.session",
    "correlation_id": "hashtextextended(activity.correlation_id, 0) = hashtextextended(%(correlation_id)s, 0)"
    " AND activity.correlation_id",
    "address": "activity.address",
}
_MANY_BRANCHES = 40
"""More values than that of one list are looked for by walking; the catalogue has fewer types."""


class _Query(Struct):
    """The parts of a statement. `branches` are conditions of which one must hold, each with an index of its own.

    `by_span`: an index of the activity table leads, and so gives spans in order, not positions.
    """

    joins: list[str]
    aliases: list[str]
    conditions: list[str]
    branches: list[str]
    parameters: dict[str, Any]
    distinct: bool = False
    by_span: bool = False


def find_events(connection: Connection, filter: EventFilter, page: PageRequest) -> EventPage:
    """One page in the caller's snapshot. Filter and page are checked already (`projections.filters`)."""
    checkpoints = open_snapshot(connection)
    as_of = complete_up_to(filter, checkpoints)
    query = build(connection, filter, as_of) if as_of >= 0 else None
    if query is None:
        return EventPage(events=[], has_next=False, has_previous=False, as_of_position=as_of)
    newest_first = page.first is not None
    count = page.first or page.last or 0
    found = _positions(connection, query, page.after, page.before, count + 1, newest_first=newest_first)
    more = len(found) > count
    found = found[:count]
    behind = _is_behind(connection, query, page, found, newest_first=newest_first)
    if not newest_first:
        found.reverse()
    return EventPage(
        events=events_at(connection, found) if found else [],
        has_next=more if newest_first else behind,
        has_previous=behind if newest_first else more,
        as_of_position=as_of,
    )


def complete_up_to(filter: EventFilter, checkpoints: Mapping[str, int]) -> int:
    """The position up to which an answer to `filter` is complete: the least checkpoint of those that it asks."""
    touched = ["activity", *(["patient"] if filter.patient else []), *(["device"] if filter.device else [])]
    return min(checkpoints.get(name, -1) for name in touched)


def positions_from(
    connection: Connection, filter: EventFilter, as_of: int, beyond: int, limit: int
) -> list[int]:
    """At most `limit` positions of events that match, oldest first, greater than `beyond` and not above `as_of`."""
    query = build(connection, filter, as_of) if as_of >= 0 else None
    return [] if query is None else _positions(connection, query, None, beyond, limit, newest_first=False)


def _is_behind(
    connection: Connection, query: _Query, page: PageRequest, found: list[int], *, newest_first: bool
) -> bool:
    """Whether there are events on the side that the page came from: only a bound can have left some there."""
    bound = page.after if newest_first else page.before
    if bound is None:
        return False
    if newest_first:
        edge = found[0] if found else bound - 1
        return bool(_positions(connection, query, None, edge, 1, newest_first=False))
    edge = found[0] if found else bound + 1
    return bool(_positions(connection, query, edge, None, 1, newest_first=True))


def _positions(
    connection: Connection,
    query: _Query,
    after: int | None,
    before: int | None,
    limit: int,
    *,
    newest_first: bool,
) -> list[int]:
    """At most `limit` positions older than `after` and newer than `before`, from the end that is asked for."""
    statement, parameters = compose(query, after, before, newest_first=newest_first)
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters | {"limit": limit})
        return [row[0] for row in cursor.fetchall()]


def compose(
    query: _Query, after: int | None, before: int | None, *, newest_first: bool
) -> tuple[str, dict[str, Any]]:
    """The statement of a query and its parameters, all but ``limit``."""
    bounds = {"after": ("<", after), "before": (">", before)}
    limits = [
        f"{alias}.position {operator} %({name})s"
        for alias in query.aliases
        for name, (operator, value) in bounds.items()
        if value is not None
    ]
    order = "DESC" if newest_first else "ASC"
    sorting = f"activity.position {order}"
    if query.by_span:
        sorting = f"activity.span {order}, {sorting}"
        limits.extend(
            f"activity.span {operator}= %({name})s >> {SPAN_BITS}"
            for name, (operator, value) in bounds.items()
            if value is not None
        )
    select = "SELECT DISTINCT" if query.distinct else "SELECT"
    statements = [
        f"{select} activity.position FROM activity {' '.join(query.joins)}"
        f" WHERE {' AND '.join([*query.conditions, *limits, *branch])}"
        f" ORDER BY {sorting} LIMIT %(limit)s"
        for branch in ([[branch] for branch in query.branches] or [[]])
    ]
    statement = statements[0]
    if len(statements) > 1:
        union = " UNION ALL ".join(f"({each})" for each in statements)
        statement = f"SELECT position FROM ({union}) AS found ORDER BY position {order} LIMIT %(limit)s"
    return statement, query.parameters | {
        name: value for name, (_, value) in bounds.items() if value is not None
    }


def build(connection: Connection, filter: EventFilter, as_of: int) -> _Query | None:
    """The query of a filter, None when nothing can match."""
    query = _Query(
        joins=[], aliases=["activity"], conditions=[], branches=[], parameters={"oldest": 0, "newest": as_of}
    )
    _join_timelines(query, filter)
    for field, column in _EQUAL.items():
        value = getattr(filter, field)
        if value is not None:
            query.conditions.append(f"{column} = %({field})s")
            query.parameters[field] = value
    if filter.user is not None:
        query.conditions.append("activity.by_person")
    selective = bool(query.joins or query.conditions)
    if not _add_lists(query, filter, selective=selective) or not _add_times(connection, query, filter):
        return None
    query.by_span = not query.joins and (selective or bool(query.branches) or filter.emergency is True)
    if query.by_span:
        query.conditions.append(
            f"activity.span BETWEEN %(oldest)s >> {SPAN_BITS} AND %(newest)s >> {SPAN_BITS}"
        )
    query.conditions.extend(f"{alias}.position BETWEEN %(oldest)s AND %(newest)s" for alias in query.aliases)
    return query


def _join_timelines(query: _Query, filter: EventFilter) -> None:
    for name, table, column in (
        ("patient", "patient_timeline", "patient_id"),
        ("device", "device_timeline", "device_id"),
        ("resource_type", "activity_resource", "type"),
    ):
        value = getattr(filter, name)
        if value is None:
            continue
        query.joins.append(f"INNER JOIN {table} ON {table}.position = activity.position")
        query.aliases.append(table)
        query.conditions.append(f"{table}.{column} = %({name})s")
        query.parameters[name] = value
    if filter.resource_id is not None:
        query.conditions.append("activity_resource.id = %(resource_id)s")
        query.parameters["resource_id"] = filter.resource_id
    elif filter.resource_type is not None:
        # An event may name several resources of one type.
        query.distinct = True


def _add_lists(query: _Query, filter: EventFilter, *, selective: bool) -> bool:
    """The list filters; without a more selective condition, the first with an index becomes the branches."""
    lists: list[tuple[str, str, list[Any], bool]] = []
    if filter.outcomes:
        codes = sorted({OUTCOME_CODES[Outcome(value)] for value in filter.outcomes})
        lists.append(("outcomes", "activity.outcome", codes, 0 not in codes))
    if filter.types or filter.categories:
        lists.append(("types", "activity.type", _types(filter), True))
    if filter.actions:
        lists.append(("actions", "activity.action", sorted(set(filter.actions)), False))
    if any(not values for _, _, values, _ in lists):
        return False
    branched = selective
    if filter.emergency is not None:
        query.conditions.append("activity.emergency" if filter.emergency else "NOT activity.emergency")
        branched = branched or filter.emergency
    for name, column, values, indexed in lists:
        if indexed and not branched and len(values) <= _MANY_BRANCHES:
            branched = True
            query.branches.extend(_branches(query, name, column, values))
        else:
            query.conditions.append(f"{column} = ANY(%({name})s)")
            query.parameters[name] = values
    if filter.purposes:
        query.conditions.append("activity.purposes && %(purposes)s")
        query.parameters["purposes"] = list(filter.purposes)
    return True


def _branches(query: _Query, name: str, column: str, values: list[Any]) -> Iterator[str]:
    for number, value in enumerate(values):
        query.parameters[f"{name}_{number}"] = value
        # The second half is what the partial index says of itself.
        yield f"{column} = %({name}_{number})s" + (" AND activity.outcome <> 0" if name == "outcomes" else "")


def _types(filter: EventFilter) -> list[str]:
    """Categories are types: an event keeps the type alone."""
    wanted = set(filter.types or CATALOGUE)
    if filter.categories:
        wanted &= {name for name, entry in CATALOGUE.items() if entry.category in filter.categories}
    return sorted(wanted)


def _add_times(connection: Connection, query: _Query, filter: EventFilter) -> bool:
    """A time range is also a range of positions, which bounds what has to be walked; False when it holds nothing."""
    start = utc(filter.occurred_from) if filter.occurred_from else None
    until = utc(filter.occurred_until) if filter.occurred_until else None
    if start is None and until is None:
        return True
    hour = start.replace(minute=0, second=0, microsecond=0) if start else "-infinity"
    with connection.cursor() as cursor:
        cursor.execute(_SQL["hour_bounds"], {"from": hour, "until": until or "infinity"})
        [(first, last)] = cursor.fetchall()
    if first is None:
        return False
    query.parameters["oldest"] = first
    query.parameters["newest"] = min(last, query.parameters["newest"])
    if start is not None:
        query.conditions.append("activity.occurred_at >= %(occurred_from)s")
        query.parameters["occurred_from"] = start
    if until is not None:
        query.conditions.append("activity.occurred_at < %(occurred_until)s")
        query.parameters["occurred_until"] = until
    return True
