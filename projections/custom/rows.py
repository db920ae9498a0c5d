"""Checks the rows of an analyst's code against the declared table before they are encoded."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from projections import merges
from projections.binary_rows import utc
from projections.errors import RowError
from projections.tables import Column, Kind, Row, Table

_RANGES = {Kind.BIGINT: 2**63, Kind.INTEGER: 2**31, Kind.SMALLINT: 2**15}
WORDS = {
    Kind.TEXT: "text",
    Kind.TEXTS: "text[]",
    Kind.BIGINT: "bigint",
    Kind.INTEGER: "integer",
    Kind.SMALLINT: "smallint",
    Kind.BOOLEAN: "boolean",
    Kind.DOUBLE: "double precision",
    Kind.TIMESTAMP: "timestamp with time zone",
    Kind.JSON: "jsonb",
}
"""The kinds as PostgreSQL names their types."""


class _MisfitError(Exception):
    """A value is not of its column's kind; the text says what it should be."""


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _MisfitError("a str")
    if "\0" in value or not (value.isprintable() or _encodable(value)):
        raise _MisfitError("text without U+0000 and lone surrogates")
    return value


def _encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple | set | frozenset):
        raise _MisfitError("a tuple of str")
    return tuple(map(_text, sorted(value, key=str) if isinstance(value, set | frozenset) else value))


def _text_set(value: Any) -> tuple[str, ...]:
    return merges.text_set(_texts(value))


def _whole(kind: Kind) -> Callable[[Any], int]:
    limit = _RANGES[kind]

    def check(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise _MisfitError("an int")
        if not -limit <= value < limit:
            raise _MisfitError(f"within {WORDS[kind]}")
        return value

    return check


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _MisfitError("a bool")
    return value


def _double(value: Any) -> float:
    if not isinstance(value, float | int) or isinstance(value, bool):
        raise _MisfitError("a float")
    if math.isnan(value):
        raise _MisfitError("a float that is a number")
    return float(value) + 0.0  # of 0.0 and -0.0, which are equal, the order of merging would choose


def _timestamp(value: Any) -> datetime:
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise _MisfitError("a datetime with its offset")
    return utc(value)


def _json(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        encoded = msgspec.json.encode(value)
    except (TypeError, ValueError) as exc:
        raise _MisfitError("something that JSON can hold") from exc
    if b"\\u0000" in encoded:
        raise _MisfitError("JSON without U+0000")
    return encoded


_CHECKS: dict[Kind, Callable[[Any], Any]] = {
    Kind.TEXT: _text,
    Kind.TEXTS: _texts,
    Kind.BIGINT: _whole(Kind.BIGINT),
    Kind.INTEGER: _whole(Kind.INTEGER),
    Kind.SMALLINT: _whole(Kind.SMALLINT),
    Kind.BOOLEAN: _boolean,
    Kind.DOUBLE: _double,
    Kind.TIMESTAMP: _timestamp,
    Kind.JSON: _json,
}


def _check_of(column: Column) -> Callable[[Any], Any]:
    return _text_set if column.merge is merges.UNION else _CHECKS[column.kind]


class RowCheck:
    """Checks and converts the rows of one table for the encoder. `line` is the line of the file that makes them."""

    def __init__(self, table: Table, line: int) -> None:
        self._table = table
        self._line = line
        self._columns = [(column.name, column.nullable, _check_of(column)) for column in table.columns]
        self._names = frozenset(table.names)

    def rows(self, rows: Iterable[Any]) -> list[Row]:
        """The rows as tuples. Raises `RowError` that names the column, and never the value."""
        return [self.row(row) for row in rows]

    def row(self, row: Any) -> Row:
        """One row."""
        if isinstance(row, Mapping):
            values = self._by_name(row)
        elif isinstance(row, tuple | list):
            values = list(row)
        else:
            raise self._error("a row is a tuple or a mapping from column to value")
        if len(values) != len(self._columns):
            raise self._error(f"a row has {len(values)} values for {len(self._columns)} columns")
        return tuple(
            self._value(name, value, nullable, check)
            for value, (name, nullable, check) in zip(values, self._columns, strict=True)
        )

    def _by_name(self, row: Mapping[Any, Any]) -> list[Any]:
        unknown = [str(name) for name in row if name not in self._names]
        if unknown:
            raise self._error(f"a row has a column {unknown[0][:60]!r}, which the table does not declare")
        return [row.get(name) for name, _, _ in self._columns]

    def _value(self, name: str, value: Any, nullable: bool, check: Callable[[Any], Any]) -> Any:
        if value is None:
            if not nullable:
                raise self._error(f"column {name} has no value, and is not declared nullable")
            return None
        try:
            return check(value)
        except _MisfitError as exc:
            raise self._error(f"column {name} takes {exc}, and got {type(value).__name__}") from exc

    def _error(self, message: str) -> RowError:
        return RowError(self._line, f"table {self._table.name}: {message}")
