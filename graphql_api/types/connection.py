"""Pages of events as Relay connections: newest first, keyset-paged, stable while events arrive."""

from __future__ import annotations

from typing import Annotated

import strawberry

from graphql_api.context import Context
from graphql_api.errors import QueryError, translated
from graphql_api.types.descriptions import described, documented
from graphql_api.types.event import Event, event_from
from graphql_api.types.event_order import Direction, EventOrder, EventOrderField
from graphql_api.types.scalars import Long
from queries.cursors import decode_cursor, encode_cursor
from queries.error_codes import Code
from queries.filters.event_filter import EventPage, PageRequest
from queries.search.prepared import PreparedQuery

First = Annotated[
    int | None,
    strawberry.argument(
        description="How many events, from the beginning of the list. Either this or `last` is required."
    ),
]
After = Annotated[
    str | None,
    strawberry.argument(description="Only events after this cursor: older ones, unless `orderBy` says ASC."),
]
Last = Annotated[int | None, strawberry.argument(description="How many events, from the end of the list.")]
Before = Annotated[
    str | None,
    strawberry.argument(description="Only events before this cursor: newer ones, unless `orderBy` says ASC."),
]


@documented
class PageInfo:
    """The information for requesting the next page."""

    has_next_page: bool = described("Whether there is more after this page.")
    has_previous_page: bool = described("Whether there is more before this page.")
    start_cursor: str | None = described("The cursor of the page's first event.")
    end_cursor: str | None = described("The cursor of the page's last event.")


@documented
class EventEdge:
    """An event in a page, with its cursor."""

    node: Event = described("The event.")
    cursor: str = described("The opaque cursor of this event, for `after` and `before`.")


@documented
class EventConnection:
    """A page of events, in the requested order."""

    edges: list[EventEdge] = described("The events with their cursors.")
    nodes: list[Event] = described("The events alone.")
    page_info: PageInfo = described("How to ask for the next page.")
    as_of_position: Long = described(
        "The page is complete up to this position; -1 when nothing is applied yet."
    )


def page_request(
    context: Context,
    first: int | None,
    after: str | None,
    last: int | None,
    before: str | None,
    order: EventOrder | None = None,
) -> PageRequest:
    """The arguments of a connection, checked. Raises `QueryError` that names the argument."""
    if (first is None) == (last is None):
        raise QueryError(Code.BAD_USER_INPUT, "give exactly one of `first` and `last`", argument="first")
    for size, name in ((first, "first"), (last, "last")):
        if size is not None:
            context.page_size(size, name)
    with translated():
        newest = None if after is None else decode_cursor(after, "after")
        oldest = None if before is None else decode_cursor(before, "before")
    return PageRequest(
        first=first,
        after=newest,
        last=last,
        before=oldest,
        by_time=order is not None and order.field is EventOrderField.OCCURRED_AT,
        oldest_first=order is not None and order.direction is Direction.ASC,
    )


async def events_page(context: Context, query: PreparedQuery, page: PageRequest) -> EventConnection:
    """One page of the events that match."""
    return connection_from(await context.read(context.models.events, query, page))


class _Page(EventConnection):
    """A page; its edges are made when a query selects them."""

    def __init__(self, page: EventPage) -> None:
        self.events = page.events
        self.nodes = [event_from(event) for event in page.events]
        self.page_info = PageInfo(
            has_next_page=page.has_next,
            has_previous_page=page.has_previous,
            start_cursor=encode_cursor(page.events[0].position) if page.events else None,
            end_cursor=encode_cursor(page.events[-1].position) if page.events else None,
        )
        self.as_of_position = Long(page.as_of_position)


def _edges(page: _Page) -> list[EventEdge]:
    cursors = (encode_cursor(event.position) for event in page.events)
    return [EventEdge(node=node, cursor=cursor) for node, cursor in zip(page.nodes, cursors, strict=True)]


# Set here: a type checker expects the fields of `EventConnection` to be writable.
setattr(_Page, "edges", property(_edges))  # noqa: B010


def connection_from(page: EventPage) -> EventConnection:
    """A page as a connection."""
    return _Page(page)
