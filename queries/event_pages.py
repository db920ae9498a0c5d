"""Pages of events in one snapshot, and how far an answer is complete."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from domain.event import RecordedEvent
from event_store.database import Connection
from event_store.event_reader import events_at
from projections.registry import open_snapshot
from queries.event_order import ByPosition, ByTime, Order
from queries.filters import EventFilter, EventPage, PageRequest, within


def find_events(connection: Connection, filter: EventFilter, page: PageRequest) -> EventPage:
    """One page in the caller's snapshot. Filter and page are checked already (`queries.filters`).

    A scope is within the filter by now: see `queries.filters.within`.
    """
    checkpoints = open_snapshot(connection)
    as_of = complete_up_to(filter, checkpoints)
    if as_of < 0:
        return EventPage(events=[], has_next=False, has_previous=False, as_of_position=as_of)
    order: Order = (ByTime if page.by_time else ByPosition)(connection, filter, as_of)
    found = _page(order, turned(page))
    return answered(page, events_at(connection, found.positions), found.older, found.newer, as_of)


def turned(page: PageRequest) -> PageRequest:
    """The same events newest first: oldest first is the same list seen from the other end."""
    if not page.oldest_first:
        return page
    return PageRequest(first=page.last, after=page.before, last=page.first, before=page.after)


def answered(
    page: PageRequest, newest_first: list[RecordedEvent], older: bool, newer: bool, as_of: int
) -> EventPage:
    """The page as it was asked for; `older` and `newer`: there are more events on that side."""
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
    """Whether there are events on the side that the page came from: only a bound can have left some there."""
    if bound is None:
        return False
    if not found and order.matches(bound):
        return True
    edge = found[0] if found else bound
    if newest_first:
        return bool(order.positions(None, edge, 1, newest_first=False))
    return bool(order.positions(edge, None, 1, newest_first=True))


def complete_up_to(
    filter: EventFilter, checkpoints: Mapping[str, int], scope: EventFilter | None = None
) -> int:
    """The position up to which an answer to `filter` is complete: the least checkpoint of those that it asks.

    The scope of who asks is asked too.
    """
    return min(checkpoints.get(name, -1) for name in _touched(within(filter, scope)))


def _touched(filter: EventFilter) -> Iterator[str]:
    yield "activity"
    for each in filter.every():
        if each.patient is not None or each.patient_in:
            yield "patient"
        if each.device is not None or each.device_in:
            yield "device"


def positions_from(
    connection: Connection, filter: EventFilter, as_of: int, beyond: int, limit: int
) -> list[int]:
    """At most `limit` positions of events that match, oldest first, greater than `beyond` and not above `as_of`."""
    return ByPosition(connection, filter, as_of).positions(None, beyond, limit, newest_first=False)
