"""Pages of events in one snapshot, and how far an answer is complete."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from event_store.database import Connection
from event_store.reading import events_at
from projections.filters import EventFilter, EventPage, PageRequest
from projections.page_sql import Query, build, compose
from projections.registry import open_snapshot


def find_events(connection: Connection, filter: EventFilter, page: PageRequest) -> EventPage:
    """One page in the caller's snapshot. Filter and page are checked already (`projections.filters`)."""
    checkpoints = open_snapshot(connection)
    as_of = complete_up_to(filter, checkpoints)
    query = build(connection, filter, as_of) if as_of >= 0 else None
    if query is None:
        return EventPage(events=[], has_next=False, has_previous=False, as_of_position=as_of)
    newest_first = page.first is not None
    count = page.first or page.last or 0
    found = _positions(connection, query, page.after, page.before, count + 1, newest_first=newest_first)
    more = len(found) > count
    found = found[:count]
    behind = _is_behind(connection, query, page, found, newest_first=newest_first)
    if not newest_first:
        found.reverse()
    return EventPage(
        events=events_at(connection, found) if found else [],
        has_next=more if newest_first else behind,
        has_previous=behind if newest_first else more,
        as_of_position=as_of,
    )


def complete_up_to(filter: EventFilter, checkpoints: Mapping[str, int]) -> int:
    """The position up to which an answer to `filter` is complete: the least checkpoint of those that it asks."""
    return min(checkpoints.get(name, -1) for name in _touched(filter))


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
    query = build(connection, filter, as_of) if as_of >= 0 else None
    return [] if query is None else _positions(connection, query, None, beyond, limit, newest_first=False)


def _is_behind(
    connection: Connection, query: Query, page: PageRequest, found: list[int], *, newest_first: bool
) -> bool:
    """Whether there are events on the side that the page came from: only a bound can have left some there."""
    bound = page.after if newest_first else page.before
    if bound is None:
        return False
    if newest_first:
        edge = found[0] if found else bound - 1
        return bool(_positions(connection, query, None, edge, 1, newest_first=False))
    edge = found[0] if found else bound + 1
    return bool(_positions(connection, query, edge, None, 1, newest_first=True))


def _positions(
    connection: Connection,
    query: Query,
    after: int | None,
    before: int | None,
    limit: int,
    *,
    newest_first: bool,
) -> list[int]:
    """At most `limit` positions older than `after` and newer than `before`, from the end that is asked for."""
    statement, parameters = compose(query, after, before, newest_first=newest_first)
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters | {"limit": limit})
        return [row[0] for row in cursor.fetchall()]
