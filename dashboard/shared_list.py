"""The list that a shared link shows: its events, page by page, and their number. It leads nowhere else."""

from __future__ import annotations

from typing import ClassVar
from urllib.parse import urlencode

from dashboard.event_rows import EventRow, rows_of, without_links
from dashboard.explorer.matches import counted
from dashboard.render import View
from dashboard.viewer import Moment, Viewer
from domain.access.shared_link import ListRange
from queries.cursors import encode_cursor
from queries.filters.event_filter import EventFilter, PageRequest
from queries.scoped.read_models import ScopedModels


class SharedList(View, frozen=True, kw_only=True):
    """The page. `conditions` are names and values; `events` is the number of matches, None for a very long range."""

    template: ClassVar[str] = "shared_list.html"
    conditions: list[tuple[str, str]]
    begin: Moment
    end: Moment
    rows: list[EventRow]
    events: int | None
    older: str | None
    newer: str | None
    as_of_position: int


def shared_list(
    models: ScopedModels,
    viewer: Viewer,
    what: ListRange,
    filter: EventFilter,
    page: PageRequest,
    max_days: int,
) -> SharedList:
    """The page of the list `filter`, which is all that exists in `models`; blocks."""
    found = models.events(models.prepare(filter, max_days=max_days), page)
    counts = counted(models, viewer, filter, what.begin, what.end, max_days)
    return SharedList(
        viewer=viewer,
        title="Events",
        conditions=[(name.replace("_", " "), value) for name, value in what.conditions],
        begin=viewer.moment(what.begin),
        end=viewer.moment(what.end),
        rows=[without_links(row) for row in rows_of(found.events, viewer)],
        events=None if counts is None else counts.events,
        older=_turned(viewer, page, "after", found.next_after),
        newer=_turned(viewer, page, "before", found.previous_before),
        as_of_position=found.as_of_position,
    )


def _turned(viewer: Viewer, page: PageRequest, name: str, position: int | None) -> str | None:
    """Another page of the list, by an address that is relative to that of the link; None without a position."""
    if position is None:
        return None
    order = {"order": "oldest"} if page.oldest_first else {}
    return f"?{urlencode({**order, 'zone': viewer.zone, name: encode_cursor(position)})}"
