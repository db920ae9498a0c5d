"""`GET /v1/views`: the saved views that the principal can open."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from domain.access.saved_view import SavedView
from queries.cursors import decode_view_cursor, encode_view_cursor
from queries.freshness import FreshnessWaiter, least_of
from queries.limits import QueryLimits
from queries.saved_views import BEGIN
from queries.scoped.read_models import ScopedModels
from queries.scoped.saved_views import Parse
from queries.thread_pool import Threads
from web.access import Access
from web.openapi.bodies import answer, problems
from web.parameters.filter_query import refuse_repeated
from web.parameters.freshness import FreshnessQuery, found, link_header
from web.parameters.schemas import VIEW_CURSOR
from web.rest.pages import page_link, page_size


class NamedFilter(msgspec.Struct, frozen=True, kw_only=True):
    """A saved view. `filter` is a query string of the page of events, `version` the position of the newest event.

    `owner` is null where it is hidden from the reader. `shared_with` is a role, or null.
    """

    id: UUID
    name: str
    filter: str
    owner: str | None
    shared_with: str | None
    version: int


class SavedViewList(msgspec.Struct, frozen=True, kw_only=True):
    """All `own` views, and a page of those that others share with a role of the principal, both by name.

    The page may be short, even empty, and not be the last: follow `next`.
    """

    own: list[NamedFilter]
    shared: list[NamedFilter]
    as_of_position: int
    next: str | None


_EXAMPLE: dict[str, Any] = {
    "own": [
        {
            "id": "0f7c1f9e-5a39-4c5e-9a53-0c5f6f0f1a01",
            "name": "Break-glass of my ward",
            "filter": "emergency=true&last=7d",
            "owner": "Practitioner/17",
            "shared_with": "clinician",
            "version": 1042,
        }
    ],
    "shared": [],
    "as_of_position": 1044,
    "next": None,
}


class SavedViewQuery(FreshnessQuery):
    """A page of shared views."""

    first: int | None = Field(default=None, ge=1, description="How many shared views; 50 when absent.")
    after: str | None = Field(
        default=None, pattern=VIEW_CURSOR, description="Only shared views after this cursor."
    )


def saved_view_routes(
    access: Access, threads: Threads, waiting: FreshnessWaiter, limits: QueryLimits, parse: Parse
) -> APIRouter:
    """The route. `parse` reads the filter of a view."""
    router = APIRouter(prefix="/v1/views", tags=["views"])

    @router.get(
        "",
        operation_id="listSavedViews",
        summary="Saved views: the own ones, and those of others that are shared",
        responses={**answer(200, SavedViewList, _EXAMPLE), **problems(304, 400, 403, 409, 503)},
    )
    async def list_views(request: Request, query: Annotated[SavedViewQuery, Query()]) -> Response:
        refuse_repeated(request)
        first = page_size(query.first, limits.max_page)
        place = BEGIN if query.after is None else decode_view_cursor(query.after)
        models = await access.models_of(request)
        models.require_views()
        await waiting.until(query.freshness(), least_of(["user"]), models=models)

        def read(models: ScopedModels) -> SavedViewList:
            # The position is read first: the lists are complete up to there, or further.
            position = models.positions().get("user", -1)
            shared = models.shared_views(parse, first, place)
            after = None if shared.next is None else encode_view_cursor(*shared.next)
            return SavedViewList(
                own=[_named(view) for view in models.own_views()],
                shared=[_named(view) for view in shared.views],
                as_of_position=position,
                next=None if after is None else page_link(request, after=after),
            )

        listed = await threads.run(read, models)
        query.freshness().compare(listed.as_of_position)
        return found(request, listed, link_header(next=listed.next))

    return router


def _named(view: SavedView) -> NamedFilter:
    return NamedFilter(
        id=view.id,
        name=view.name,
        filter=view.filter,
        owner=view.owner or None,
        shared_with=None if view.shared_with is None else view.shared_with.value,
        version=view.version,
    )
