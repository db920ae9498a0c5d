"""Exports as text: NDJSON and CSV.

CSV is RFC 4180: UTF-8 without a byte order mark, CRLF, a header, doubled quotes. All text is quoted: an empty text is
``""``, and a missing value is nothing between two commas.

A spreadsheet may split a line at `;`, a tab or `|`, whatever the quotes say, so each part of a text can become a cell.
A part that such a program could take for a formula gets an apostrophe in front, and so does a part that begins with an
apostrophe. `restored` removes them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from domain.event import RecordedEvent
from projections.tables import Kind
from queries.export.rows import ExportColumn, ExportedRows

_encode = msgspec.json.Encoder().encode

SEPARATORS = ";|\t\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029"
"""Each begins a new part of a text: separators of cells, and all line ends that programs know."""
FORMULA = "=+\\-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b"
"""What begins a formula (OWASP, CSV injection), with the full-width and small forms, which Excel takes too."""
_SKIPPED = (
    '"\x00-\x08\x0e-\x1b\x1f \x7f-\x84\x86-\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f'
    "\u2000-\u200f\u202a-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U000e0000-\U000e0fff"
)
"""What a program may drop before a formula: blanks, control and zero-width characters, and quotes."""
_UNSAFE = re.compile(rf"\A(?=[\t\r\n])|(?:\A|[{SEPARATORS}])(?=[{_SKIPPED}]*['{FORMULA}])")
"""Linear: no skipped character is a separator, so each character is read once from one separator."""
_JSON_ESCAPES = [(each, f"\\u{ord(each):04x}") for each in SEPARATORS if each >= " "]
_APOSTROPHE = re.compile(rf"(\A|[{SEPARATORS}])'")

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
    """`text`, with an apostrophe in front of each part that a spreadsheet could take for a formula."""
    return _UNSAFE.sub(r"\g<0>'", text)


def restored(cell: str) -> str:
    """The text of a cell: without the apostrophe at the beginning and after each separator."""
    return _APOSTROPHE.sub(r"\1", cell)


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
    """JSON is no formula: it begins with a bracket, a quote, a digit, a minus or a word.

    Only its texts can hold separators. JSON escapes control characters itself; the others are escaped here.
    """
    for separator, escape in _JSON_ESCAPES:
        text = text.replace(separator, escape)
    return '"' + text.replace('"', '""') + '"'


def _moment(value: datetime) -> str:
    return value.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
