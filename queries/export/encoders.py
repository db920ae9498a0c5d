"""The formats of an export: each turns batches of rows into bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from queries.export.parquet import ParquetEncoder
from queries.export.request import Format
from queries.export.rows import ExportedRows
from queries.export.text import Lines, csv_header, csv_lines


class Encoder(Protocol):
    """Encodes one file: the header, then rows any number of times, then the end. Each piece may be empty."""

    def header(self) -> bytes:
        """The bytes before the rows."""

    def encode(self, rows: Sequence[Any]) -> bytes:
        """The bytes that are ready once these rows have come."""

    def end(self) -> bytes:
        """The bytes that are left."""


class TextEncoder:
    """NDJSON or CSV: rows are ready at once."""

    def __init__(self, lines: Lines, header: bytes = b"") -> None:
        self._header = header
        self.encode = lines

    def header(self) -> bytes:
        """See `Encoder`."""
        return self._header

    def end(self) -> bytes:
        """See `Encoder`."""
        return b""


def encoder_of(format: Format, rows: ExportedRows) -> Encoder:
    """The encoder of a format, for rows of this kind."""
    if format is Format.PARQUET:
        return ParquetEncoder(rows)
    if format is Format.NDJSON:
        return TextEncoder(rows.lines)
    lines = csv_lines(rows.columns)
    return TextEncoder(lambda batch: lines(rows.values(batch)), csv_header(rows.columns))
