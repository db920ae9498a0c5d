"""The rows of a read model's table, read by a server-side cursor in the order of its key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from domain.errors import ConflictError, Reason
from event_store.database import Connection, Cursor, sql
from event_store.statements import load
from projections.tables import Kind
from queries.export.disclosed_patients import patients_in_columns
from queries.export.rows import ExportColumn, RowBatch
from queries.export.text import row_lines
from queries.live_tables.values import representable_values

_SQL = load(__package__, "export.sql")

FETCHED_ROWS = 500
"""Rows of one fetch. A row may hold some kB of JSON."""

_KINDS = {
    "text": Kind.TEXT,
    "text[]": Kind.TEXTS,
    "bigint": Kind.BIGINT,
    "integer": Kind.INTEGER,
    "smallint": Kind.SMALLINT,
    "boolean": Kind.BOOLEAN,
    "double precision": Kind.DOUBLE,
    "timestamp with time zone": Kind.TIMESTAMP,
    "jsonb": Kind.JSON,
}


class TableShape(Struct, frozen=True, kw_only=True):
    """A table of a live projection: its columns in declared order, its key, and the projection's checkpoint.

    `custom`: the table belongs to a custom projection. `as_text` are columns whose type no built-in table has; they are
    exported as PostgreSQL writes them.
    """

    projection: str
    version: int
    position: int
    schema: str
    custom: bool
    name: str
    columns: tuple[ExportColumn, ...]
    as_text: frozenset[str]
    key: tuple[str, ...]

    @property
    def append_only(self) -> bool:
        """Whether rows stay as they are once written: the key of such a table holds the position."""
        return "position" in self.key


def describe(connection: Connection, name: str) -> TableShape:
    """The shape of a live projection's table. Raises `ConflictError` unless exactly one has that name."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["describe_table"], {"table": name})
        rows = cursor.fetchall()
        if not rows:
            cursor.execute(_SQL["list_tables"])
            known = ", ".join(row[0] for row in cursor.fetchall()) or "none yet"
            raise ConflictError(
                Reason.INVALID_FIELD,
                f"no live projection has such a table; there are: {known}",
                field="table",
            )
    projection, version, schema, custom, position = rows[0][:5]
    if any(row[2] != schema for row in rows):
        raise ConflictError(
            Reason.INVALID_FIELD, "several projections have a table of this name", field="table"
        )
    places = {row[5]: row[7] for row in rows if row[7] is not None}
    return TableShape(
        projection=projection,
        version=version,
        position=position,
        schema=schema,
        custom=custom,
        name=name,
        columns=tuple(ExportColumn(row[5], _KINDS.get(row[6], Kind.TEXT)) for row in rows),
        as_text=frozenset(row[5] for row in rows if row[6] not in _KINDS or row[6] == "jsonb"),
        key=tuple(sorted(places, key=lambda column: places[column])),
    )


class TableRows:
    """An `ExportedRows`: the rows of a table whose columns equal `where`. The key is the table's primary key.

    Rows of an append-only table after the position `as_of` are left out.
    """

    def __init__(
        self, connection: Connection, table: TableShape, where: Sequence[tuple[str, str]], as_of: int
    ) -> None:
        self.columns = table.columns
        self._connection = connection
        self._table = table
        self.lines = row_lines(table.columns)
        self.patients = patients_in_columns(table.columns)
        self._as_of = as_of
        self._equal = [(name, _value(table, name, text)) for name, text in where]

    def batches(self, after: tuple[Any, ...] | None) -> Iterator[RowBatch]:
        """See `ExportedRows`."""
        names = [column.name for column in self.columns]
        places = [names.index(name) for name in self._table.key]
        statement, parameters = self._statement(after)
        # A named cursor: the server keeps the rows until they are fetched.
        with self._connection.cursor("audit_trail_export") as cursor:
            cursor.execute(statement, parameters)
            while rows := self._fetch(cursor):
                yield RowBatch(rows, tuple(_as_json(rows[-1][place]) for place in places))

    def _fetch(self, cursor: Cursor) -> list[tuple[Any, ...]]:
        with representable_values(self._table.name):
            return cursor.fetchmany(FETCHED_ROWS)

    def _statement(self, after: tuple[Any, ...] | None) -> tuple[sql.Composable, list[Any]]:
        key = sql.SQL(", ").join(map(sql.Identifier, self._table.key))
        conditions: list[sql.Composable] = [
            sql.SQL("{} = %s").format(sql.Identifier(name)) for name, _ in self._equal
        ]
        parameters = [value for _, value in self._equal]
        if self._table.append_only:
            conditions.append(sql.SQL("position <= %s"))
            parameters.append(self._as_of)
        if after is not None:
            values = sql.SQL(", ").join([sql.Placeholder()] * len(after))
            conditions.append(sql.SQL("({}) > ({})").format(key, values))
            parameters.extend(after)
        statement = sql.SQL("SELECT {} FROM {} WHERE {} ORDER BY {}").format(
            sql.SQL(", ").join(
                sql.SQL("{}::text").format(sql.Identifier(column.name))
                if column.name in self._table.as_text
                else sql.Identifier(column.name)
                for column in self.columns
            ),
            sql.Identifier(self._table.schema, self._table.name),
            sql.SQL(" AND ").join(conditions) if conditions else sql.SQL("true"),
            sql.SQL(", ").join(
                sql.SQL("{}.{}").format(sql.Identifier(self._table.name), sql.Identifier(name))
                for name in self._table.key
            ),
        )
        return statement, parameters

    def values(self, rows: Sequence[tuple[Any, ...]]) -> Sequence[tuple[Any, ...]]:
        """See `ExportedRows`."""
        return rows


def _as_json(value: Any) -> Any:
    """A key's value as JSON. PostgreSQL reads a time from its text."""
    return value.isoformat() if isinstance(value, datetime) else value


def _value(table: TableShape, name: str, text: str) -> Any:
    """A value of `where`, read from its text as the column's type."""
    column = next((column for column in table.columns if column.name == name), None)
    if column is None:
        names = ", ".join(column.name for column in table.columns)
        raise ConflictError(
            Reason.INVALID_FIELD, f"the table has no such column; it has: {names}", field="where"
        )
    value = None if name in table.as_text else _read(column.kind, text)
    if value is None:
        raise ConflictError(Reason.INVALID_FIELD, f"no value that {name} could equal", field="where")
    return value


def _read(kind: Kind, text: str) -> Any:
    """The value; None when `text` is no value of `kind`."""
    try:
        return _READERS[kind](text) if kind in _READERS else None
    except ValueError:
        return None


def _text(text: str) -> str | None:
    return None if "\0" in text else text


def _whole(bits: int) -> Callable[[str], int | None]:
    def read(text: str) -> int | None:
        number = int(text)
        return number if -(2**bits) <= number < 2**bits else None

    return read


def _moment(text: str) -> datetime | None:
    moment = datetime.fromisoformat(text)
    return None if moment.utcoffset() is None else moment


_READERS: dict[Kind, Callable[[str], Any]] = {
    Kind.TEXT: _text,
    Kind.BOOLEAN: {"true": True, "false": False}.get,
    Kind.BIGINT: _whole(63),
    Kind.INTEGER: _whole(31),
    Kind.SMALLINT: _whole(15),
    Kind.DOUBLE: float,
    Kind.TIMESTAMP: _moment,
}
