"""Pages of events in one snapshot."""

from __future__ import annotations

from typing import NamedTuple

from domain.event import RecordedEvent
from event_store.database import Connection
from event_store.event_reader import events_at
from projections.registry import open_snapshot
from queries.filters.event_filter import EventPage, PageRequest
from queries.search.event_order import ByPosition, ByTime, Order
from queries.search.prepared import PreparedQuery


def find_events(connection: Connection, query: PreparedQuery, page: PageRequest) -> EventPage:
    """One page in the caller's snapshot; `page` is checked already (`queries.filters.checks.check_page`)."""
    as_of = query.complete_up_to(open_snapshot(connection))
    if as_of < 0:
        return EventPage(events=[], has_next=False, has_previous=False, as_of_position=as_of)
    order: Order = (ByTime if page.by_time else ByPosition)(connection, query, as_of)
    found = _page(order, turned(page))
    return answered(page, events_at(connection, found.positions), found.older, found.newer, as_of)


def turned(page: PageRequest) -> PageRequest:
    """The request for the same events with the newest first: oldest first is the same list from the other end."""
    if not page.oldest_first:
        return page
    return PageRequest(first=page.last, after=page.before, last=page.first, before=page.after)


def answered(
    page: PageRequest, newest_first: list[RecordedEvent], older: bool, newer: bool, as_of: int
) -> EventPage:
    """The page in the requested order; `older` and `newer`: there are more events on that side."""
    return EventPage(
        events=newest_first[::-1] if page.oldest_first else newest_first,
        has_next=newer if page.oldest_first else older,
        has_previous=older if page.oldest_first else newer,
        as_of_position=as_of,
    )


class _Found(NamedTuple):
    """Positions, newest first, and whether there are older and newer ones."""

    positions: list[int]
    older: bool
    newer: bool


def _page(order: Order, page: PageRequest) -> _Found:
    newest_first = page.first is not None
    count = page.first or page.last or 0
    found = order.positions(page.after, page.before, count + 1, newest_first=newest_first)
    more = len(found) > count
    found = found[:count]
    behind = _is_behind(order, page.after if newest_first else page.before, found, newest_first=newest_first)
    if newest_first:
        return _Found(found, older=more, newer=behind)
    return _Found(found[::-1], older=behind, newer=more)


def _is_behind(order: Order, bound: int | None, found: list[int], *, newest_first: bool) -> bool:
    """Whether there are events before the page's start, which is possible only with a bound."""
    if bound is None:
        return False
    if not found and order.matches(bound):
        return True
    edge = found[0] if found else bound
    if newest_first:
        return bool(order.positions(None, edge, 1, newest_first=False))
    return bool(order.positions(edge, None, 1, newest_first=True))


def positions_from(
    connection: Connection, query: PreparedQuery, as_of: int, beyond: int, limit: int
) -> list[int]:
    """At most `limit` positions of events that match, oldest first, greater than `beyond` and not above `as_of`."""
    return ByPosition(connection, query, as_of).positions(None, beyond, limit, newest_first=False)
