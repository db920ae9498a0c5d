"""Rows of context tables: types made from the declarations, and their canonical form, in which they are stored.

The canonical form is a JSON array of the columns in their order, without spaces.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, tzinfo
from typing import Any

import msgspec

from detection.context.tables import TABLES, Kind, Table
from detection.context.values import Given, empty_value, value_of
from domain.errors import Reason, RejectedError

Row = Any
"""A row: a frozen struct with the columns of its table as attributes."""

_TYPES: dict[Kind, Any] = {
    Kind.TEXT: str | None,
    Kind.FOLDED: str | None,
    Kind.TEXTS: tuple[str, ...],
    Kind.NETWORKS: tuple[str, ...],
    Kind.DATE: date | None,
    Kind.TIME: datetime | None,
    Kind.FLAG: bool,
}


def _row_type(table: Table) -> type[msgspec.Struct]:
    fields: list[Any] = [
        (column.name, _TYPES[column.kind])
        if column.required
        else (column.name, _TYPES[column.kind], empty_value(column))
        for column in table.columns
    ]
    return msgspec.defstruct(f"{table.name}_row", fields, frozen=True, array_like=True, gc=False)


ROW_TYPES: dict[str, type[msgspec.Struct]] = {name: _row_type(table) for name, table in TABLES.items()}
"""The type of the rows of each table."""
_DECODERS = {name: msgspec.json.Decoder(type) for name, type in ROW_TYPES.items()}
_ENCODER = msgspec.json.Encoder()


def make_row(table: Table, given: Mapping[str, Given], zone: tzinfo = UTC) -> Row:
    """A row. `zone`: that of times without an offset. Raises `RejectedError` that names the column."""
    unknown = given.keys() - {column.name for column in table.columns}
    if unknown:
        known = ", ".join(column.name for column in table.columns)
        raise RejectedError(
            Reason.UNKNOWN_FIELD, f"{table.name} has no such column: it has {known}", field=min(unknown)
        )
    values = {column.name: value_of(column, given.get(column.name), zone) for column in table.columns}
    if table.one_of and not any(values[name] for name in table.one_of):
        raise RejectedError(
            Reason.MISSING_FIELD, "one of these needs a value", field=" or ".join(table.one_of)
        )
    if table.period:
        starts, ends = (values[name] for name in table.period)
        if isinstance(starts, datetime) and isinstance(ends, datetime) and ends < starts:
            raise RejectedError(
                Reason.INVALID_FIELD, f"write a time after {table.period[0]}", field=table.period[1]
            )
    if table.name == "patients" and values["deceased_at"] is not None:
        values["deceased"] = True
    return ROW_TYPES[table.name](**values)


def encode_row(row: Row) -> bytes:
    """The canonical form of a row."""
    return _ENCODER.encode(row)


def row_decoder(table: str) -> Callable[[bytes | bytearray], Row]:
    """What makes a row of its canonical form."""
    return _DECODERS[table].decode
