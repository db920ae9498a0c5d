"""Exports as text: NDJSON and CSV.

CSV is RFC 4180: UTF-8 without a byte order mark, CRLF, a header, doubled quotes. All text is quoted: an empty text is
``""``, and a missing value is nothing between two commas. A text that a spreadsheet could take for a formula, or that
begins with an apostrophe, gets an apostrophe in front. Removing one leading apostrophe restores every text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from domain.event import RecordedEvent
from projections.tables import Kind
from queries.export.rows import ExportColumn, ExportedRows

_encode = msgspec.json.Encoder().encode

GUARDED = ("=", "+", "-", "@", "\t", "\r", "\n", "'", "＝", "＋", "－", "＠")  # noqa: RUF001 - Excel takes these too
"""A text that begins with one of these gets an apostrophe in front (OWASP, CSV injection)."""

Lines = Callable[[Sequence[Any]], bytes]


class TextEncoder:
    """An `Encoder` of NDJSON or CSV: rows are ready at once."""

    def __init__(self, lines: Lines, header: bytes = b"") -> None:
        self._header = header
        self.encode = lines

    def header(self) -> bytes:
        """See `Encoder`."""
        return self._header

    def end(self) -> bytes:
        """See `Encoder`."""
        return b""


def csv_encoder(rows: ExportedRows) -> TextEncoder:
    """An `Encoder` of CSV."""
    lines = csv_lines(rows.columns)
    return TextEncoder(lambda batch: lines(rows.values(batch)), csv_header(rows.columns))


def event_lines(events: Iterable[RecordedEvent]) -> bytes:
    """One line of JSON per event: the same object as in an answer of the API."""
    return b"".join(line for event in events for line in (_encode(event), b"\n"))


def row_lines(columns: Sequence[ExportColumn]) -> Lines:
    """One line of JSON per row: an object with the columns' names."""
    names = [column.name for column in columns]
    raw = [index for index, column in enumerate(columns) if column.kind is Kind.JSON]

    def lines(rows: Sequence[Sequence[Any]]) -> bytes:
        parts = []
        for row in rows:
            values = list(row)
            for index in raw:
                if values[index] is not None:
                    values[index] = msgspec.Raw(values[index].encode())
            parts.append(_encode(dict(zip(names, values, strict=True))))
            parts.append(b"\n")
        return b"".join(parts)

    return lines


def csv_header(columns: Sequence[ExportColumn]) -> bytes:
    """The first line: the columns' names."""
    return _csv_line(quoted(column.name) for column in columns)


def csv_lines(columns: Sequence[ExportColumn]) -> Lines:
    """One line per row."""
    cells = [_cell(column) for column in columns]

    def lines(rows: Sequence[Sequence[Any]]) -> bytes:
        return b"".join(
            _csv_line(["" if value is None else cell(value) for cell, value in zip(cells, row, strict=True)])
            for row in rows
        )

    return lines


def guarded(text: str) -> str:
    """`text`, with an apostrophe in front when a spreadsheet could take it for a formula."""
    return f"'{text}" if text.startswith(GUARDED) else text


def quoted(text: str) -> str:
    """A cell that holds text."""
    return '"' + guarded(text).replace('"', '""') + '"'


def _csv_line(cells: Iterable[str]) -> bytes:
    return (",".join(cells) + "\r\n").encode()


def _cell(column: ExportColumn) -> Callable[[Any], str]:
    if column.kind is Kind.TEXT:
        return quoted
    if column.kind is Kind.TEXTS or column.fields:
        return lambda value: _json_cell(_encode(value).decode())
    if column.kind is Kind.JSON:
        return _json_cell
    if column.kind is Kind.TIMESTAMP:
        return _moment
    if column.kind is Kind.BOOLEAN:
        return lambda value: "true" if value else "false"
    return str


def _json_cell(text: str) -> str:
    """JSON is no formula: it begins with a bracket, a quote, a digit, a minus or a word."""
    return '"' + text.replace('"', '""') + '"'


def _moment(value: datetime) -> str:
    return value.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
