"""Events as rows of a list, within a bound of bytes: the whole of a long value is on the page of its event."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from markupsafe import escape
from msgspec import Struct
from msgspec.structs import replace

from dashboard import links
from dashboard.columns import Column, Term, Value, page_of, usual
from dashboard.sentences import sentence
from dashboard.viewer import Moment, Viewer
from domain.event import Outcome, RecordedEvent

MAX_BYTES = 85_000
"""All rows of a list, so that a page of 50 stays under 150 kB."""
_CUTS = (160, 80, 40, 16)
"""Bytes of a value in a cell. The first with which the list is small enough is used."""
_MAX_LINK, _MAX_PIVOT = 300, 160
"""Bytes of an address and of a pivot in a cell: longer ones are left to the page of the event."""
_CELL, _LINK, _PIVOTS, _ROW = 20, 20, 112, 320
"""Bytes of markup around a value, an address and two pivots, and of a row with its time and its link."""
_ESCAPED = {letter: len(escape(letter)) for letter in "&<>'\""}
_MOST_VALUES = 5
"""Values of one cell; the others are counted."""

Pivot = Callable[[Sequence[Term]], str | None]
"""The conditions of a value -> what its two buttons send; None where the viewer may not query by them."""
Search = Callable[[Sequence[Term]], str]
"""The conditions of a value -> the list of all events with it."""


class Cell(Struct, frozen=True):
    """One value. `link` leads to what it names, and `pivot` is what its buttons send."""

    text: str
    link: str | None = None
    pivot: str | None = None


class EventRow(Struct, frozen=True):
    """One event. `marks` are words that deserve attention; `cells` has the values of each column.

    `link` is None where a list leads nowhere.
    """

    link: str | None
    position: int
    at: Moment
    recorded: Moment
    text: str
    outcome: str
    failed: bool
    marks: list[str]
    columns: tuple[Column, ...]
    cells: list[list[Cell]]


def rows_of(
    events: Iterable[RecordedEvent],
    viewer: Viewer,
    columns: Sequence[Column] = (),
    *,
    pivot: Pivot | None = None,
    search: Search | None = None,
) -> list[EventRow]:
    """The rows, in the order of the events; with the usual columns unless others are given.

    With `pivot`, cells have buttons for the events with their value, and without it. With `search`, a value without a
    page of its own leads to its events.
    """
    shown = tuple(columns) or usual(viewer)
    rows = [_row(each, viewer, shown, pivot, search) for each in events]
    rows = _with_pivots_that_fit(rows, len(shown))
    cut = next((each for each in _CUTS if _bytes(rows, each) <= MAX_BYTES), _CUTS[-1])
    return [_cut(row, cut) for row in rows]


def without_links(row: EventRow) -> EventRow:
    """The row for a list that leads nowhere."""
    return replace(row, link=None, cells=[[Cell(each.text) for each in cells] for cells in row.cells])


def _with_pivots_that_fit(rows: list[EventRow], columns: int) -> list[EventRow]:
    """The rows with the pivots of as many columns, from the first on, as the bound of bytes allows."""
    pivots = [sum(_pivot_bytes(each) for row in rows for each in row.cells[at]) for at in range(columns)]
    left = MAX_BYTES - _bytes(rows, _CUTS[0]) + sum(pivots)
    fitting = 0
    while fitting < columns and pivots[fitting] <= left:
        left -= pivots[fitting]
        fitting += 1
    return rows if fitting == columns else [_without_pivots(row, fitting) for row in rows]


def _row(
    recorded: RecordedEvent,
    viewer: Viewer,
    columns: tuple[Column, ...],
    pivot: Pivot | None,
    search: Search | None,
) -> EventRow:
    event = recorded.event
    marks = ["break-glass"] if event.emergency else []
    if event.patients and event.type.startswith("record.") and not event.purpose_of_use:
        marks.append("no purpose")
    return EventRow(
        link=links.event(event.event_id),
        position=recorded.position,
        at=viewer.moment(event.occurred_at),
        recorded=viewer.moment(recorded.recorded_at),
        text=_shorter(sentence(recorded.event), 2 * _CUTS[0]),
        outcome=event.outcome.value,
        failed=event.outcome is not Outcome.SUCCESS,
        marks=marks,
        columns=columns,
        cells=[_cells(column.values(recorded), viewer, pivot, search) for column in columns],
    )


def _cells(values: list[Value], viewer: Viewer, pivot: Pivot | None, search: Search | None) -> list[Cell]:
    cells = [_cell(value, viewer, pivot, search) for value in values[:_MOST_VALUES]]
    if len(values) > _MOST_VALUES:
        cells.append(Cell(f"and {len(values) - _MOST_VALUES} more"))
    return cells


def _cell(value: Value, viewer: Viewer, pivot: Pivot | None, search: Search | None) -> Cell:
    sent = pivot(value.terms) if pivot is not None and value.terms else None
    link = page_of(value, viewer)
    if value.find and search is not None and sent is not None:
        link = search(value.terms)
    return Cell(
        _shorter(value.text, _CUTS[0]),
        None if link is None or _size(link) > _MAX_LINK else link,
        None if sent is None or _size(sent) > _MAX_PIVOT else sent,
    )


def _size(text: str) -> int:
    """The bytes of a text in a page."""
    return len(escape(text).encode("utf-8", "replace"))


def _bytes(rows: list[EventRow], cut: int) -> int:
    return sum(
        _ROW
        + min(_size(row.text), 2 * cut)
        + sum(_bytes_of(each, cut) for cells in row.cells for each in cells)
        for row in rows
    )


def _bytes_of(cell: Cell, cut: int) -> int:
    link = 0 if cell.link is None else _LINK + _size(cell.link)
    return _CELL + min(_size(cell.text), cut) + link + _pivot_bytes(cell)


def _pivot_bytes(cell: Cell) -> int:
    return 0 if cell.pivot is None else _PIVOTS + 2 * _size(cell.pivot) + 2 * _size(cell.text)


def _without_pivots(row: EventRow, fitting: int) -> EventRow:
    """The row without the pivots of the columns from `fitting` on."""
    cells = [[replace(each, pivot=None) for each in values] for values in row.cells[fitting:]]
    return replace(row, cells=[*row.cells[:fitting], *cells])


def _cut(row: EventRow, most: int) -> EventRow:
    """The row with its values cut; at the tightest bound one value a cell, and no link but that to its event."""
    tight = most == _CUTS[-1]
    cells = []
    for values in row.cells:
        kept = values[:1] if tight else values
        shown = [
            replace(each, text=_shorter(each.text, most), link=None if tight else each.link) for each in kept
        ]
        cells.append(shown if len(kept) == len(values) else [*shown, Cell(f"and {len(values) - 1} more")])
    return replace(row, text=_shorter(row.text, 2 * most), cells=cells)


def _shorter(text: str, most: int) -> str:
    """`text`, or as much of its beginning as fits into `most` bytes of a page, with an ellipsis."""
    if len(text) <= most and _size(text) <= most:
        return text
    size = 0
    for at, letter in enumerate(text):
        size += _ESCAPED.get(letter) or len(letter.encode("utf-8", "replace"))
        if size > most - len("…".encode()):
            return text[:at] + "…"
    return text
