"""Pages of events: a filter becomes one statement whose cost is proportional to the page, not to the trail.

The index of a driving condition ends in the position, or in its span, so PostgreSQL reads the newest events first and
stops at the page's end. Bounds are repeated for the joined table, because PostgreSQL starts in the middle of an index
only by a bound on a column of the index. Each value of a list is a separate index scan.
Names come from the code alone; every value is a parameter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from msgspec import Struct, field

from event_store.database import Connection
from projections.models.activity import SPAN_BITS
from queries.filters.event_filter import MAX_POSITION, Equality
from queries.filters.sql import Parameters, conditions_of, pair_in
from queries.search.access_paths import AccessPath, Plan, choose
from queries.search.selectivity import Bounds, BoundsFinder, estimate_rows, index_conditions

_CHOICE = "choice.value"
_MANY = 10
"""From this number of values on, each value first gets only a share of the page."""
_FIRST_SHARES = 4
"""The share of each value is the page divided by the number of values, times this."""


class PathSql(Struct):
    """One access path, as the parts of a statement.

    `base` is the table that is read, and `aliases` are all tables whose positions are bounded. `choice` is the
    placeholder of the values of the driving condition, each a separate index scan, and `choices` is their number.
    `spans` is the table of the driving index, if that index is in the order of spans and not of positions. `repeats`: a
    value may find an event twice; `overlaps`: two values may find the same event.
    """

    base: str = "activity"
    joins: list[str] = field(default_factory=list)
    aliases: list[str] = field(default_factory=lambda: ["activity"])
    conditions: list[str] = field(default_factory=list)
    choice: str = ""
    choices: int = 1
    spans: str = ""
    repeats: bool = False
    overlaps: bool = False


class PageSql(Struct):
    """The access paths, whose results are united. `distinct`: two of them may find the same event."""

    parts: list[PathSql]
    parameters: Parameters
    distinct: bool


def build(
    connection: Connection,
    plans: Sequence[Plan],
    as_of: int,
    *,
    positions_alone: bool = False,
    bounds_finder: BoundsFinder | None = None,
) -> PageSql | None:
    """The query of the best of `plans`, None when nothing can match.

    With `positions_alone` it serves `compose` only. Callers that build several queries share one `bounds_finder` of
    `as_of`.
    """
    finder = bounds_finder or BoundsFinder(connection, as_of)
    paths = choose(plans, lambda each: estimate_rows(connection, each, finder))
    parameters = Parameters()
    parts = [
        _part(path, bounds, parameters, alone=positions_alone)
        for path in paths
        if (bounds := finder.of(path)) is not None and (path.driver is None or path.driver.values)
    ]
    return PageSql(parts, parameters, distinct=len(paths) > 1) if parts else None


class TimePlace(NamedTuple):
    """A place in the order of time: events of the same time are in the order of the log."""

    occurred_at: datetime
    position: int


def compose(
    query: PageSql, after: int | None, before: int | None, *, newest_first: bool
) -> tuple[str, dict[str, Any]]:
    """The statement of a page in the order of positions, and its parameters, all but ``limit``."""
    given, signs = _given_places({"after": after, "before": before})
    order = "DESC" if newest_first else "ASC"

    def statement(part: PathSql) -> str:
        limits = [f"{name}.position {sign} %({at})s" for name in part.aliases for at, sign in signs.items()]
        sorting = f"{part.base}.position {order}"
        if part.spans:
            sorting = f"{part.spans}.span {order}, {sorting}"
            limits += [f"{part.spans}.span {sign}= %({at})s >> {SPAN_BITS}" for at, sign in signs.items()]
        select = _select if part.choices < _MANY else _select_of_many
        return select(part, f"{part.base}.position", limits, sorting, f"position {order}")

    return _together(query, statement, "position", f"position {order}"), query.parameters | given


def compose_by_time(
    query: PageSql, after: TimePlace | None, before: TimePlace | None, *, newest_first: bool
) -> tuple[str, dict[str, Any]]:
    """The statement of a page in the order of time, and its parameters, all but ``limit``.

    It sorts all events that it finds: `query` must be bounded to some hours.
    """
    given, signs = _given_places({"after": after, "before": before})
    order = "DESC" if newest_first else "ASC"
    columns = "position, occurred_at"

    def statement(part: PathSql) -> str:
        limits = [f"(activity.occurred_at, activity.position) {sign} %({at})s" for at, sign in signs.items()]
        sorting = f"activity.occurred_at {order}, activity.position {order}"
        given = "activity.position, activity.occurred_at"
        return _select(part, given, limits, sorting, f"occurred_at {order}, position {order}")

    return (
        _together(query, statement, columns, f"occurred_at {order}, position {order}"),
        query.parameters | given,
    )


def compose_counts(query: PageSql, key: str, sorting: str) -> str:
    """The statement that counts by `key`: the key, its events, the number of keys, and the number of all events."""
    return (
        "SELECT key, count(*), count(*) OVER (), (sum(count(*)) OVER ())::bigint"
        f" FROM ({_counted(query, {'key': key})}) AS found GROUP BY key ORDER BY {sorting} LIMIT %(limit)s"
    )


def compose_sums(query: PageSql | None, summed: Sequence[str], key: str, sorting: str) -> str:
    """The statement that adds up counts by `key`: those of `query`, and those of the statements `summed`.

    `summed` select columns `key` and `events`. The statement returns the same as that of `compose_counts`.
    """
    counted = (
        [] if query is None else [f"SELECT key, 1 AS events FROM ({_counted(query, {'key': key})}) AS one"]
    )
    return (
        "SELECT key, sum(events)::bigint, count(*) OVER (), (sum(sum(events)) OVER ())::bigint"
        f" FROM ({' UNION ALL '.join([*summed, *counted])}) AS found"
        f" GROUP BY key ORDER BY {sorting} LIMIT %(limit)s"
    )


def compose_distinct_counts(
    query: PageSql, key: str, sorting: str, *, actor: str | None, patients: str | None
) -> str:
    """The statement that also counts the different values of `actor` and of the array `patients`, if they are given.

    Rows of the key, its events, the number of keys, and its actors and patients. The first row is that of all events.
    """
    columns = {"key": key, "actor": actor or "NULL", "patients": patients or "NULL::text[]"}
    touched = "LEFT JOIN LATERAL unnest(found.patients) AS touched (patient) ON true" if patients else ""
    # An event has a row for each of its patients, and as many for each of its keys.
    events = "count(DISTINCT (position, key))" if patients else "count(*)"
    return (
        f"SELECT key, {events} AS events, count(*) OVER () - 1,"
        f" {'count(DISTINCT actor)' if actor else 'NULL'}, {'count(DISTINCT patient)' if patients else 'NULL'}"
        f" FROM ({_counted(query, columns)}) AS found {touched} GROUP BY GROUPING SETS ((key), ())"
        f" ORDER BY grouping(key) DESC, {sorting} LIMIT %(limit)s + 1"
    )


def _counted(query: PageSql, columns: Mapping[str, str]) -> str:
    """A row for each event that matches, with these columns."""
    selected = ", ".join(f"{expression} AS {name}" for name, expression in columns.items())

    def statement(part: PathSql) -> str:
        select = "SELECT DISTINCT" if part.repeats or part.overlaps else "SELECT"
        choice = f"unnest({part.choice}) AS choice (value) CROSS JOIN" if part.choice else ""
        joins, conditions = " ".join(part.joins), " AND ".join(part.conditions)
        return f"{select} activity.position, {selected} FROM {choice} activity {joins} WHERE {conditions}"

    # UNION keeps an event once that two access paths find.
    return (" UNION " if query.distinct else " UNION ALL ").join(map(statement, query.parts))


def _given_places(places: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The given bounds and their signs: older than `after`, newer than `before`."""
    given = {name: value for name, value in places.items() if value is not None}
    return given, {name: "<" if name == "after" else ">" for name in given}


def _select(part: PathSql, columns: str, limits: Sequence[str], sorting: str, outer: str) -> str:
    statement = _select_of_one(part, columns, limits, sorting)
    if not part.choice:
        return f"{statement} LIMIT %(limit)s"
    return (
        f"{'SELECT DISTINCT' if part.overlaps else 'SELECT'} found.* FROM unnest({part.choice}) AS choice (value)"
        f" CROSS JOIN LATERAL ({statement} LIMIT %(limit)s) AS found ORDER BY {outer} LIMIT %(limit)s"
    )


def _select_of_many(part: PathSql, columns: str, limits: Sequence[str], sorting: str, outer: str) -> str:
    """A page of positions for a driving condition with many values, of which most need few events.

    First, a share of the page is read for each value. Without further events the page would end at the edge, so no
    event of the page is beyond it. Only a value whose whole share is within the edge can have more events on the page.
    """
    statement = _select_of_one(part, columns, limits, sorting)
    some = f"%(limit)s * {_FIRST_SHARES} / {part.choices} + 1"
    within, furthest = (">=", 0) if outer.endswith("DESC") else ("<=", MAX_POSITION)
    return (
        "WITH nearest AS MATERIALIZED ("
        f"SELECT choice.value, found.position FROM unnest({part.choice}) AS choice (value)"
        f" CROSS JOIN LATERAL ({statement} LIMIT {some}) AS found"
        "), edge AS MATERIALIZED ("
        "SELECT position FROM (SELECT DISTINCT position FROM nearest) AS one"
        f" ORDER BY {outer} OFFSET %(limit)s - 1 LIMIT 1"
        "), choice AS MATERIALIZED ("
        f"SELECT value FROM nearest WHERE position {within} coalesce((SELECT position FROM edge), {furthest})"
        f" GROUP BY value HAVING count(*) = {some}"
        ") SELECT DISTINCT position FROM (SELECT position FROM nearest UNION ALL"
        f" SELECT found.position FROM choice CROSS JOIN LATERAL ({statement} LIMIT %(limit)s) AS found"
        f") AS found ORDER BY {outer} LIMIT %(limit)s"
    )


def _select_of_one(part: PathSql, columns: str, limits: Sequence[str], sorting: str) -> str:
    # GROUP BY and not DISTINCT, which sorts only by selected columns.
    grouping = f" GROUP BY {re.sub(' (?:ASC|DESC)', '', sorting)}" if part.repeats else ""
    return (
        f"SELECT {columns} FROM {part.base} {' '.join(part.joins)}"
        f" WHERE {' AND '.join([*part.conditions, *limits])}{grouping} ORDER BY {sorting}"
    )


def _together(query: PageSql, statement: Callable[[PathSql], str], columns: str, sorting: str) -> str:
    statements = [statement(part) for part in query.parts]
    if len(statements) == 1:
        return statements[0]
    union = " UNION ALL ".join(f"({each})" for each in statements)
    select = "SELECT DISTINCT" if query.distinct else "SELECT"
    return f"{select} {columns} FROM ({union}) AS found ORDER BY {sorting} LIMIT %(limit)s"


def _part(path: AccessPath, bounds: Bounds, parameters: Parameters, *, alone: bool) -> PathSql:
    part = PathSql()
    if path.driver is not None:
        _begin(part, path.driver, parameters)
    compared = [text for conjunct in path.rest for text in conditions_of(conjunct, parameters)]
    part.conditions.extend(compared + index_conditions(path, parameters))
    if alone and part.joins and not compared:
        # No condition is on the activity table: the driving condition's own table has all positions.
        part.base, part.joins, part.aliases = part.aliases[1], [], part.aliases[1:]
    _bound(part, bounds, parameters)
    return part


def _begin(part: PathSql, driver: Equality, parameters: Parameters) -> None:
    attribute, values, index = driver.attribute, driver.values, driver.attribute.index
    table = attribute.table
    if table != "activity":
        part.joins.append(f"INNER JOIN {table} ON {table}.position = activity.position")
        part.aliases.append(table)
        part.overlaps = len(values) > 1
        part.repeats = attribute.repeats
    if index is not None and index.by_span:
        part.spans = table
    if len(attribute.columns) > 1:
        part.conditions.append(pair_in(attribute, table, values, parameters))
    elif attribute.type == "boolean":
        part.conditions.append(f"{table}.{attribute.columns[0]}")
    else:
        _compare(part, driver, parameters)
    part.conditions += filter(None, (attribute.where.format(table), index.where if index is not None else ""))


def _compare(part: PathSql, driver: Equality, parameters: Parameters) -> None:
    attribute, values = driver.attribute, driver.values
    column = f"{attribute.table}.{attribute.columns[0]}"
    if len(values) == 1:
        value = parameters.add(values[0])
    else:
        value = _CHOICE
        part.choice, part.choices = f"{parameters.add(list(values))}::{attribute.type}[]", len(values)
    part.conditions.append(f"{column} = {value}")
    expression = attribute.index.expression if attribute.index is not None else ""
    if expression:
        part.conditions.append(f"{expression.format(column)} = {expression.format(value)}")


def _bound(part: PathSql, bounds: Bounds, parameters: Parameters) -> None:
    oldest, newest = parameters.add(bounds.oldest), parameters.add(bounds.newest)
    if part.spans:
        part.conditions.append(
            f"{part.spans}.span BETWEEN {oldest} >> {SPAN_BITS} AND {newest} >> {SPAN_BITS}"
        )
    part.conditions.extend(f"{alias}.position BETWEEN {oldest} AND {newest}" for alias in part.aliases)
