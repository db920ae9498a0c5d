"""A page by one call to the server: a snapshot, the positions that match, their events, and the checkpoints.

The statements of a page take little time, but each costs a round trip to the server and a wait for Python's lock. So
one call reads everything, in the schemas that were live at the last read. Its result says whether they still are.
"""

from __future__ import annotations

from collections.abc import Mapping

from event_store.database import Connection
from event_store.event_reader import choose_events
from event_store.statement_errors import LimitExceededError, MissingTableError, statement_errors
from queries.filters.event_filter import MAX_POSITION, EventPage, PageRequest
from queries.search.event_pages import answered, turned
from queries.search.page_sql import PageSql, build, compose
from queries.search.prepared import PreparedQuery


def can_be_one_call(query: PreparedQuery, page: PageRequest) -> bool:
    """Whether the page is one statement that is known without reading the database."""
    return not page.by_time and query.is_planned


def find_in_one_call(
    connection: Connection, schemas: Mapping[str, str], query: PreparedQuery, page: PageRequest
) -> EventPage | None:
    """The page, on a connection of `Database.snapshots`; `schemas` are those of the projections that were live.

    None when the page needs a snapshot of several statements: another build is live now; or one of two projections that
    the query reads is ahead, and the page has events that only this one has applied; or the page exceeds 1 GB.
    """
    # In one snapshot the rows of a build end at its checkpoint, so they need no bound.
    built = build(connection, query.plans, MAX_POSITION, positions_alone=True)
    if built is None:
        return None
    request = turned(page)
    newest_first = request.first is not None
    count = request.first or request.last or 0
    chosen = _statement(
        connection, built, request.after, request.before, count + 1, newest_first=newest_first
    )
    bound = request.after if newest_first else request.before
    nearest = "NULL::bigint"
    if bound is not None:
        # Whether there are events before the page's start, including the one at the bound.
        after, before = (None, bound - 1) if newest_first else (bound + 1, None)
        nearest = f"({_statement(connection, built, after, before, 1, newest_first=not newest_first)})"
    try:
        with statement_errors():
            found = choose_events(connection, list(schemas.values()), chosen, nearest)
    except (MissingTableError, LimitExceededError):
        return None
    checkpoints = {name: found.live.get((name, schema), -1) for name, schema in schemas.items()}
    as_of = query.complete_up_to(checkpoints)
    events = found.events
    if as_of < 0 or (events and events[-1].position > as_of):
        return None
    more = len(events) > count
    if more:
        events = events[1:] if newest_first else events[:-1]
    behind = found.extra is not None and found.extra <= as_of
    older, newer = (more, behind) if newest_first else (behind, more)
    return answered(page, events[::-1], older, newer, as_of)


def _statement(
    connection: Connection,
    query: PageSql,
    after: int | None,
    before: int | None,
    limit: int,
    *,
    newest_first: bool,
) -> str:
    statement, parameters = compose(query, after, before, newest_first=newest_first)
    with connection.cursor() as cursor:
        written: bytes = cursor.mogrify(statement, parameters | {"limit": limit})
    return written.decode()
