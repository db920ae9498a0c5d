"""`GET /v1/events` and `GET /v1/events/{id}`: the same filters as GraphQL, as query parameters."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlencode
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
from web.http.path_prefix import public
from web.http.problems import problem
from web.openapi.bodies import EVENT_EXAMPLE, NO_EVENT, answer, problems
from web.parameters.filter_query import FilterQuery, refuse_repeated, renamed
from web.parameters.freshness import DEFAULT_PAGE, FreshnessQuery, Switch, found, link_header
from web.parameters.schemas import EVENT_CURSOR

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
        first = self.first if self.first is not None or self.last is not None else min(DEFAULT_PAGE, max_page)
        for name, size in (("first", first), ("last", self.last)):
            if size is not None and size > max_page:
                raise RejectedError(Reason.INVALID_FIELD, f"at most {max_page}; follow the links", field=name)
        return PageRequest(
            first=first,
            last=self.last,
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
    if page.events and page.has_next:
        older = _link(request, {"first": size, "after": encode_cursor(page.events[-1].position)})
    if page.events and page.has_previous:
        newer = _link(request, {"last": size, "before": encode_cursor(page.events[0].position)})
    return EventList(events=page.events, as_of_position=page.as_of_position, next=older, previous=newer)


def _link(request: Request, paging: dict[str, Any]) -> str:
    """The same query for another page. The link is relative: a proxy may have changed scheme and host."""
    kept = [
        (k, v) for k, v in request.query_params.multi_items() if k not in {"first", "last", "after", "before"}
    ]
    return public(request, f"{request.url.path}?{urlencode([*kept, *paging.items()])}")


def _position(name: str, cursor: str | None) -> int | None:
    return None if cursor is None else decode_cursor(cursor, name)
