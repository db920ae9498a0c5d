"""CSV: the header names the columns. Commas, semicolons or tabs; a list is one cell, divided by semicolons."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from detection.context.files.source import Found, Source, Tally
from detection.context.tables import Kind, Table
from domain.errors import Reason, RejectedError

_DELIMITERS = ",;\t"
_LISTS = {Kind.TEXTS, Kind.NETWORKS}


def read_csv(table: Table, source: Source, tally: Tally) -> Iterator[Found]:
    """The rows of a file. Raises `RejectedError` that names file, line and column."""
    lists = {column.name for column in table.columns if column.kind in _LISTS}
    last = [0]
    first = source.first_line()
    delimiter = max(_DELIMITERS, key=lambda each: first.count(each.encode()))
    rows = csv.reader(_counted(source, last), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    ended = source.line - 1
    try:
        for cells in rows:
            line, ended = ended + 1, last[0]
            if not cells:
                continue
            if header is None:
                header = _header(table, source, line, cells)
                continue
            if len(cells) != len(header):
                raise RejectedError(
                    Reason.INVALID_FIELD,
                    f"it has {len(cells)} cells, and the header has {len(header)}",
                    field=source.place(line),
                )
            tally.read += 1
            yield Found(
                source.place(line),
                {
                    name: _items(cell) if name in lists else cell
                    for name, cell in zip(header, cells, strict=True)
                },
            )
    except csv.Error as exc:
        raise source.wrong(f"this is no CSV: {exc}") from exc
    if header is None:
        raise RejectedError(Reason.MISSING_FIELD, "it is empty: write a header", field=source.name)


def _counted(source: Source, last: list[int]) -> Iterator[str]:
    """The lines; `last` has the number of the one that was read last: a quoted cell may have several."""
    for number, line in source.lines():
        last[0] = number
        yield line


def _header(table: Table, source: Source, line: int, cells: list[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    known = [column.name for column in table.columns]
    for name in names:
        if name not in known:
            raise RejectedError(
                Reason.UNKNOWN_FIELD,
                f"the table {table.name} has no column of this name: it has {', '.join(known)}",
                field=f"{source.place(line)}, {name[:100] or 'an empty name'}",
            )
        if names.count(name) > 1:
            raise RejectedError(
                Reason.INVALID_FIELD, "this column stands there twice", field=f"{source.place(line)}, {name}"
            )
    for column in table.columns:
        if column.required and column.name not in names:
            raise RejectedError(
                Reason.MISSING_FIELD,
                "the header needs this column",
                field=f"{source.place(line)}, {column.name}",
            )
    return names


def _items(cell: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in cell.split(";") if item.strip())
