"""The rows that an open list of the explorer gets while it follows."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from dashboard.columns import Column
from dashboard.event_rows import EventRow, rows_of
from dashboard.explorer.addresses import Pairs
from dashboard.explorer.page import search_of
from dashboard.explorer.pivots import pivot_of
from dashboard.render import View
from dashboard.viewer import Viewer
from domain.event import RecordedEvent
from queries.filters.event_filter import EventFilter, PageRequest
from queries.scoped.read_models import ScopedModels

MOST_ROWS = 100
"""Events that come together. A list is read by a person: of more, the newest are shown, and that some are missing."""
_WALK = 50_000
"""Positions walked in one step for a filter without an index, so that a step ends within the time-out."""


class NewRows(View, frozen=True, kw_only=True):
    """Rows of a table, the newest first. `missing`: there are more new events, which are in the list itself."""

    template: ClassVar[str] = "new_rows.html"
    columns: tuple[Column, ...]
    rows: list[EventRow]
    missing: bool


class NewEvents(Struct, frozen=True):
    """Events after a position, the newest first, and the `position` up to which there are no others but `missing`."""

    events: list[RecordedEvent]
    position: int
    missing: bool


def new_events(models: ScopedModels, filter: EventFilter, position: int) -> NewEvents:
    """The newest events after a position; blocks.

    Unlike a subscription, which leaves out none, it leaves out what a person can't read, and says so.
    """
    query = models.prepare(filter, max_days=0)
    begin = position
    if not query.is_indexed:
        begin = max(begin, query.complete_up_to(models.positions()) - _WALK)
    page = models.events(query, PageRequest(first=MOST_ROWS, before=begin if begin >= 0 else None))
    return NewEvents(page.events, max(position, page.as_of_position), page.has_next or begin > position >= 0)


def new_rows(found: NewEvents, viewer: Viewer, columns: tuple[Column, ...], pairs: Pairs) -> NewRows:
    """The rows of an open list."""
    rows = rows_of(found.events, viewer, columns, pivot=pivot_of(viewer), search=search_of(pairs))
    return NewRows(viewer=viewer, title="New events", columns=columns, rows=rows, missing=found.missing)
