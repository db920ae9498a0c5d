"""Pages of rows from the tables of any live projection, filtered on columns: for projections without an API.

The tables and columns come from the database, so the server does not need the code of the projection. A statement
holds only names that the database has, quoted; every value is a parameter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from domain.errors import ConflictError, LockedError, Reason, RejectedError, UnavailableError
from event_store.database import Connection, sql
from event_store.statement_errors import statement_errors
from event_store.statements import load
from projections.tables import Kind
from queries.filters.event_filter import MAX_PAGE
from queries.live_tables.conditions import KINDS, LiveTable, TableColumn, TableCondition, conditions_of
from queries.live_tables.values import column_value, representable_values

_SQL = load(__package__, "pages.sql")


class LiveProjection(Struct, frozen=True):
    """The live build of a projection, complete up to `as_of_position`. `custom`: it is in an analyst's file."""

    name: str
    version: int
    schema: str
    as_of_position: int
    tables: tuple[LiveTable, ...]
    custom: bool = False


class RowRequest(Struct, frozen=True):
    """A page of a table. `after` is the cursor of the last row of the page before, from `RowPage.cursors`.

    Rows are ordered by `order_by`, if given, then by the key.
    """

    projection: str
    table: str
    first: int
    conditions: tuple[TableCondition, ...] = ()
    after: tuple[Any, ...] | None = None
    order_by: str = ""
    descending: bool = False


class RowPage(Struct, frozen=True):
    """A page. Each row has its values in the columns' order, and a cursor: its values of the ordering columns."""

    table: LiveTable
    rows: list[tuple[Any, ...]]
    cursors: list[tuple[Any, ...]]
    has_next: bool
    as_of_position: int

    def objects(self) -> list[dict[str, Any]]:
        """The rows as JSON objects: times in RFC 3339, null for NaN and infinity."""
        names = [column.name for column in self.table.columns]
        return [dict(zip(names, map(_plain, row), strict=True)) for row in self.rows]


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return msgspec.to_builtins(value)


def find_live(connection: Connection, name: str) -> LiveProjection | None:
    """The live build of a projection in the caller's snapshot; None when it has none."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["find_live"], {"name": name})
        found = cursor.fetchone()
        if found is None:
            return None
        version, schema, position, custom = found
        cursor.execute(_SQL["find_columns"], {"schema": schema, "custom": custom})
        rows = cursor.fetchall()
    tables = []
    for table in dict.fromkeys(row[0] for row in rows):
        mine = [row for row in rows if row[0] == table and row[2] in KINDS]
        places = {row[1]: row[4] for row in mine if row[4] is not None}
        key = tuple(sorted(places, key=lambda column: places[column]))
        tables.append(LiveTable(table, tuple(TableColumn(*row[1:4]) for row in mine), key))
    return LiveProjection(name, version, schema, position, tuple(tables), custom)


def find_rows(connection: Connection, request: RowRequest) -> RowPage:
    """One page in the caller's snapshot. Raises `RejectedError` that names the argument at fault."""
    live, table = _find_table(connection, request.projection, request.table)
    if not 1 <= request.first <= MAX_PAGE:
        raise RejectedError(Reason.INVALID_FIELD, f"from 1 to {MAX_PAGE}", field="first")
    order = _order(table, request.order_by)
    conditions, values = conditions_of(table, request.conditions)
    if request.after is not None:
        conditions.append(_beyond(order, descending=request.descending))
        values.extend(_after(table, order, request.after))
    direction = sql.SQL(" DESC" if request.descending else " ASC")
    statement = sql.SQL("SELECT {columns} FROM {table}{where} ORDER BY {order} LIMIT %s").format(
        columns=_names([each.name for each in table.columns]),
        table=sql.Identifier(live.schema, table.name),
        where=sql.SQL(" WHERE ") + sql.SQL(" AND ").join(conditions) if conditions else sql.SQL(""),
        order=sql.SQL(", ").join(sql.Identifier(name) + direction for name in order),
    )
    with connection.cursor() as cursor:
        try:
            with statement_errors():
                cursor.execute(statement, [*values, request.first + 1])
            with representable_values(table.name):
                rows = cursor.fetchall()
        except LockedError as exc:
            raise UnavailableError(f"another session has locked table {table.name}; try again") from exc
    places = [[each.name for each in table.columns].index(name) for name in order]
    kept = rows[: request.first]
    return RowPage(
        table=table,
        rows=kept,
        cursors=[tuple(row[place] for place in places) for row in kept],
        has_next=len(rows) > request.first,
        as_of_position=live.as_of_position,
    )


def _find_table(connection: Connection, projection: str, name: str) -> tuple[LiveProjection, LiveTable]:
    live = find_live(connection, projection)
    if live is None:
        raise RejectedError(Reason.INVALID_FIELD, "there is no such projection", field="name")
    for table in live.tables:
        if table.name == name:
            return live, table
    known = ", ".join(table.name for table in live.tables)
    raise RejectedError(
        Reason.INVALID_FIELD, f"this projection has no such table; it has {known}", field="table"
    )


def _names(names: Sequence[str]) -> sql.Composable:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _order(table: LiveTable, order_by: str) -> tuple[str, ...]:
    if not order_by:
        return table.key
    column = table.column(order_by)
    if column is None or column.nullable or column.kind in {Kind.JSON, Kind.TEXTS}:
        able = ", ".join(
            each.name
            for each in table.columns
            if not each.nullable and each.kind not in {Kind.JSON, Kind.TEXTS}
        )
        raise ConflictError(
            Reason.INVALID_FIELD,
            f"rows can be ordered by a column that always has one value: {able}",
            field="order_by",
        )
    return (order_by, *(name for name in table.key if name != order_by))


def _beyond(order: Sequence[str], *, descending: bool) -> sql.Composable:
    marks = sql.SQL(", ").join([sql.Placeholder()] * len(order))
    sign = sql.SQL("<" if descending else ">")
    return sql.SQL("({}) {} ({})").format(_names(order), sign, marks)


def _after(table: LiveTable, order: Sequence[str], after: Sequence[Any]) -> list[Any]:
    columns = [table.column(name) for name in order]
    if len(after) != len(columns):
        raise ConflictError(Reason.INVALID_FIELD, "this cursor is of another table or order", field="after")
    try:
        return [
            column_value(column.kind, value, "after")
            for column, value in zip(columns, after, strict=True)
            if column
        ]
    except RejectedError as exc:
        raise ConflictError(
            Reason.INVALID_FIELD, "this cursor is of another table or order", field="after"
        ) from exc
