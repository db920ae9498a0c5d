"""Rows in PostgreSQL's binary COPY format. Each table has an encoder that is compiled once.

Fixed-width columns that are never NULL go first, in one `struct.pack`; the COPY names its columns, so their order in
the table does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from struct import Struct
from typing import Any

from event_store.binary_copy import EPOCH
from projections.tables import Column, Kind, Row, Table

_FIXED = {
    Kind.BIGINT: "iq",
    Kind.INTEGER: "ii",
    Kind.SMALLINT: "ih",
    Kind.BOOLEAN: "i?",
    Kind.DOUBLE: "id",
    Kind.TIMESTAMP: "iq",
}
_WIDTH = {
    Kind.BIGINT: 8,
    Kind.INTEGER: 4,
    Kind.SMALLINT: 2,
    Kind.BOOLEAN: 1,
    Kind.DOUBLE: 8,
    Kind.TIMESTAMP: 8,
}
_NULL = b"\xff\xff\xff\xff"
_LENGTH = Struct(">i").pack
_ARRAY = Struct(">iiiii").pack
_TEXT_OID = 25
_EMPTY_ARRAY = Struct(">iiii").pack(12, 0, 0, _TEXT_OID)
_US = timedelta(microseconds=1)


def _timestamp(moment: datetime) -> int:
    return (moment - EPOCH) // _US


def _text(value: str) -> bytes:
    data = value.encode()
    return _LENGTH(len(data)) + data


# The same ids and names repeat within a batch. Long texts are not cached.
_short_text = lru_cache(maxsize=8192)(_text)
_SHORT = 128
_SHORT_ARRAY = 4
"""Limits of what is cached: characters of a text, values of an array."""


def _texts(values: Sequence[str]) -> bytes:
    if not values:
        return _EMPTY_ARRAY
    return _short_array(tuple(values)) if len(values) <= _SHORT_ARRAY else _array(values)


def _array(values: Sequence[str]) -> bytes:
    data = _ARRAY(1, 0, _TEXT_OID, len(values), 1) + b"".join(map(_text, values))
    return _LENGTH(len(data)) + data


_short_array = lru_cache(maxsize=1024)(_array)


def _json(value: bytes) -> bytes:
    return _LENGTH(len(value) + 1) + b"\x01" + value


def _field(kind: Kind) -> Callable[[Any], bytes]:
    variable: dict[Kind, Callable[[Any], bytes]] = {Kind.TEXT: _text, Kind.TEXTS: _texts, Kind.JSON: _json}
    if kind in variable:
        return variable[kind]
    pack, width = Struct(">" + _FIXED[kind]).pack, _WIDTH[kind]
    if kind is Kind.TIMESTAMP:
        return lambda moment: pack(width, _timestamp(moment))
    return lambda value: pack(width, value)


def _is_fixed(column: Column) -> bool:
    return column.kind in _FIXED and not column.nullable


class Encoder:
    """Encodes rows of one table. `columns` is the order in which a row's fields are sent."""

    def __init__(self, table: Table) -> None:
        fixed = [index for index, column in enumerate(table.columns) if _is_fixed(column)]
        rest = [index for index, column in enumerate(table.columns) if not _is_fixed(column)]
        self.columns = tuple(table.names[index] for index in (*fixed, *rest))
        self._encode = _compiled(table, fixed, rest)

    def rows(self, rows: Iterable[Row]) -> list[bytes]:
        """Each row as the bytes of one COPY tuple."""
        return self._encode(rows)


def _compiled(table: Table, fixed: list[int], rest: list[int]) -> Callable[[Iterable[Row]], list[bytes]]:
    """One expression for the table's whole row: a loop over the columns would take three times as long.

    The source holds column numbers only, and no declared text.
    """
    kinds = [table.columns[index].kind for index in fixed]
    values = [
        f"{_WIDTH[kind]}, {f'stamp(c{index})' if kind is Kind.TIMESTAMP else f'c{index}'}"
        for kind, index in zip(kinds, fixed, strict=True)
    ]
    parts = [
        f"head({', '.join([str(len(table.columns)), *values])})",
        *(f"null if c{index} is None else {_call(table.columns[index].kind, index)}" for index in rest),
    ]
    row = ", ".join(f"c{index}" for index in range(len(table.columns)))
    source = f"lambda rows: [join(({', '.join(parts)},)) for ({row},) in rows]"
    names: dict[str, Any] = {f"f{index}": _field(table.columns[index].kind) for index in rest}
    names |= {
        "head": Struct(">h" + "".join(_FIXED[kind] for kind in kinds)).pack,
        "stamp": _timestamp,
        "join": b"".join,
        "null": _NULL,
        "short": _short_text,
    }
    encode: Callable[[Iterable[Row]], list[bytes]] = eval(source, names)  # noqa: S307 - see above  # nosec B307
    return encode


def _call(kind: Kind, index: int) -> str:
    if kind is Kind.TEXT:
        return f"(short(c{index}) if len(c{index}) < {_SHORT} else f{index}(c{index}))"
    return f"f{index}(c{index})"


_EARLIEST = datetime(1, 1, 2, tzinfo=UTC)
_LATEST = datetime(9999, 12, 30, tzinfo=UTC)


def utc(moment: datetime) -> datetime:
    """`moment` in UTC, limited to what Python can read back: converting to UTC can leave the years 1 to 9999."""
    if not _EARLIEST < moment < _LATEST:
        return _EARLIEST if moment <= _EARLIEST else _LATEST
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
