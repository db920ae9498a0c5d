"""`GET /v1/events` and `GET /v1/events/{id}`: the same filters as GraphQL, as query parameters."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from domain.errors import ConflictError, Reason, RejectedError
from domain.event import RecordedEvent
from queries.cursors import decode_cursor, encode_cursor
from queries.filters.event_filter import EventPage, PageRequest
from queries.freshness import FreshnessWaiter
from queries.limits import QueryLimits
from queries.thread_pool import Threads
from web.access import Access
from web.http.problems import problem
from web.openapi.bodies import EVENT_EXAMPLE, NO_EVENT, answer, problems
from web.parameters.filter_query import FilterQuery, refuse_repeated, renamed
from web.parameters.freshness import FreshnessQuery, Switch, found, link_header
from web.parameters.schemas import EVENT_CURSOR
from web.rest.pages import page_link, page_size

_LIST_EXAMPLE = {
    "events": [EVENT_EXAMPLE],
    "as_of_position": 1044,
    "next": "/v1/events?patient=17&first=1&after=cDE6MTA0Mg",
    "previous": None,
}


class EventQuery(FilterQuery, FreshnessQuery):
    """The filters, and a page."""

    first: int | None = Field(
        default=None, ge=1, description="Events from the beginning of the list; 50 when absent."
    )
    last: int | None = Field(default=None, ge=1, description="Events from the end of the list.")
    after: str | None = Field(
        default=None, pattern=EVENT_CURSOR, description="Only events after this cursor."
    )
    before: str | None = Field(
        default=None, pattern=EVENT_CURSOR, description="Only events before this cursor."
    )
    order_by: Literal["position", "occurred_at"] = Field(
        default="position", description="The order of recording, or that of the sources' clocks."
    )
    descending: Switch = Field(default=True, description="Newest first, or oldest first.")

    def page(self, max_page: int) -> PageRequest:
        """The page for the read models. Raises `RejectedError` that names the parameter."""
        if self.first is not None and self.last is not None:
            raise ConflictError(Reason.INVALID_FIELD, "give one of first and last", field="last")
        return PageRequest(
            first=page_size(self.first, max_page) if self.last is None else None,
            last=None if self.last is None else page_size(self.last, max_page, "last"),
            after=_position("after", self.after),
            before=_position("before", self.before),
            by_time=self.order_by == "occurred_at",
            oldest_first=not self.descending,
        )


class EventList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of events in the requested order, complete up to `as_of_position`.

    `next` and `previous` are links or null.
    """

    events: list[RecordedEvent]
    as_of_position: int
    next: str | None
    previous: str | None


def event_routes(
    access: Access, threads: Threads, waiting: FreshnessWaiter, limits: QueryLimits
) -> APIRouter:
    """The routes that read events."""
    router = APIRouter(prefix="/v1/events", tags=["events"])

    @router.get(
        "",
        operation_id="listEvents",
        summary="Events that match, newest first",
        responses={**answer(200, EventList, _LIST_EXAMPLE), **problems(304, 400, 403, 409, 503)},
    )
    async def list_events(request: Request, parameters: Annotated[EventQuery, Query()]) -> Response:
        refuse_repeated(request)
        models = await access.models_of(request)
        requested, freshness = parameters.page(limits.max_page), parameters.freshness()
        try:
            query = models.prepare(parameters.filter(), max_days=limits.max_unindexed_days)
            await waiting.until(freshness, query.complete_up_to, models=models)
            page = await threads.run(models.events, query, requested)
        except RejectedError as exc:
            raise renamed(exc) from exc
        freshness.compare(page.as_of_position)
        listed = _list(request, requested, page)
        return found(request, listed, link_header(next=listed.next, prev=listed.previous))

    @router.get(
        "/{event_id}",
        operation_id="getEvent",
        summary="One event",
        responses={
            **answer(200, RecordedEvent, EVENT_EXAMPLE),
            **problems(304, 400, 403, 404, 503, missing=NO_EVENT),
        },
    )
    async def get_event(request: Request, event_id: UUID) -> Response:
        models = await access.models_of(request)
        event = await threads.run(models.event, event_id)
        return problem(404, NO_EVENT) if event is None else found(request, event, changes=False)

    return router


def _list(request: Request, requested: PageRequest, page: EventPage) -> EventList:
    size = requested.first or requested.last
    older = newer = None
    if page.next_after is not None:
        older = page_link(request, first=size, after=encode_cursor(page.next_after), last=None, before=None)
    if page.previous_before is not None:
        newer = page_link(
            request, last=size, before=encode_cursor(page.previous_before), first=None, after=None
        )
    return EventList(events=page.events, as_of_position=page.as_of_position, next=older, previous=newer)


def _position(name: str, cursor: str | None) -> int | None:
    return None if cursor is None else decode_cursor(cursor, name)
