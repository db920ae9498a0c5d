"""Batches of rows, which pass through the stages of an export, and their columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from msgspec import Struct

from projections.tables import Kind


class ExportColumn(Struct, frozen=True):
    """One column of an export.

    `fields`: the value is a list of objects with these text fields, a list of structs in Parquet. Without them a JSON
    value is JSON text.
    """

    name: str
    kind: Kind
    fields: tuple[str, ...] = ()


class RowBatch(Struct, frozen=True):
    """Some rows in the order of their key. `last` is the key of the last row, as JSON values that can be saved."""

    rows: Sequence[Any]
    last: tuple[Any, ...]


class ExportedRows(Protocol):
    """The first stage: reads rows and describes them. `columns` are those of CSV and Parquet."""

    @property
    def columns(self) -> tuple[ExportColumn, ...]:
        """In the order of the values."""

    def batches(self, after: tuple[Any, ...] | None) -> Iterator[RowBatch]:
        """All rows whose key is greater than `after`, in the order of the key."""

    def patients(self, rows: Sequence[Any]) -> list[str]:
        """The ids of the patients that rows disclose, in their order."""

    def lines(self, rows: Sequence[Any]) -> bytes:
        """Rows as NDJSON."""

    def values(self, rows: Sequence[Any]) -> Sequence[tuple[Any, ...]]:
        """Rows as values of the columns."""
