"""What the pages of all subjects are made of: tables, lists of events, charts, heat maps and timelines."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from dashboard import links
from dashboard.event_rows import EventRow
from dashboard.histogram import Histogram
from dashboard.render import View
from dashboard.viewer import Moment, Viewer
from queries.scoped.read_models import SUMMARIES

LIMIT = 100
"""Rows of a table."""
EVENTS = 20
"""Rows of a list of events."""


class Cell(Struct, frozen=True):
    """A cell of a table: a text, where it leads, and words that deserve attention. `moment`: the text is this time."""

    text: str
    link: str | None = None
    marks: tuple[str, ...] = ()
    moment: Moment | None = None


class Section(Struct, frozen=True):
    """A table with a heading. An empty one says `nothing`; `link` leads to all, if the table is cut."""

    kind: ClassVar[str] = "table"
    name: str
    columns: list[str]
    rows: list[list[Cell]]
    nothing: str = "Nothing is recorded."
    link: str | None = None
    note: str = ""
    limit: int = LIMIT

    @property
    def is_cut(self) -> bool:
        """Whether there may be more rows than the page shows."""
        return len(self.rows) >= self.limit


class EventList(Struct, frozen=True):
    """The newest events of a kind; `more`: there are others, and `link` leads to all."""

    kind: ClassVar[str] = "events"
    name: str
    rows: list[EventRow]
    link: str
    more: bool
    nothing: str = "Nothing is recorded."


class OwnRow(Struct, frozen=True):
    """One event in plain words. `question` leads to the form that asks about it; None if nobody can."""

    at: Moment
    text: str
    why: str
    link: str
    question: str | None


class OwnEvents(Struct, frozen=True):
    """The newest events about the person who reads."""

    kind: ClassVar[str] = "own"
    name: str
    rows: list[OwnRow]
    link: str
    more: bool


class Chart(Struct, frozen=True):
    """A histogram, or `problem`: why there is none."""

    kind: ClassVar[str] = "chart"
    name: str
    histogram: Histogram | None
    problem: str = ""


class HeatCell(Struct, frozen=True):
    """The events of one hour of one day of the week; `level` from 0 to 4 is the shade."""

    events: int
    level: int
    link: str | None


class HeatMap(Struct, frozen=True):
    """Events by day of the week and hour of the day, or `problem`: why there is none."""

    kind: ClassVar[str] = "heat"
    name: str
    rows: list[tuple[str, list[HeatCell]]]
    note: str
    problem: str = ""


class Period(Struct, frozen=True):
    """A period of a timeline, in the drawing's own units."""

    x: float
    width: float
    state: str
    label: str


class Timeline(Struct, frozen=True):
    """Periods as a drawing: one row for each instance. The table beside it has the same."""

    kind: ClassVar[str] = "timeline"
    name: str
    rows: list[tuple[str, list[Period]]]
    begin: str
    end: str


Part = Section | EventList | OwnEvents | Chart | HeatMap | Timeline


class Subject(View, frozen=True, kw_only=True):
    """The page of one subject. `lines` are sentences about it; `link` leads to all its events.

    `first` is the time of the oldest event about it, and so of the oldest that the page can show. `days` are the two
    fields of a device's page by which its configuration at a day is chosen, and compared; `range` those of a patient's
    page, which shows only the time between them, and `is_empty` says that nothing happened in it. `others` are further
    records or ids of the person who reads the own page.
    """

    template: ClassVar[str] = "subject.html"
    lines: list[str]
    first: Moment
    last: Moment
    parts: list[Part]
    link: str
    own: bool = False
    others: tuple[Cell, ...] = ()
    days: tuple[str, str] | None = None
    range: tuple[str, str] | None = None
    is_empty: bool = False
    id: str
    as_of_position: int


def person(viewer: Viewer, id: str | None, name: str | None, marks: tuple[str, ...] = ()) -> Cell:
    """Who acted, with the link to that user's page."""
    if id is None:
        return Cell(name or "not shown or not known", None, marks)
    return Cell(f"{name} ({id})" if name else id, link_to(viewer, "user", id), marks)


def link_to(viewer: Viewer, kind: str, id: str) -> str | None:
    """The page of a subject, for those whose role has such pages."""
    return links.subject(kind, id) if viewer.may(SUMMARIES[kind]) else None


def at(moment: Moment) -> Cell:
    """A time."""
    return Cell(moment.local, moment=moment)
