"""`GET /v1/watched-targets`: what the watcher checks, and what it found last."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from queries.limits import QueryLimits
from queries.thread_pool import Threads
from queries.watched_targets import WatchedTarget
from web.access import Access
from web.openapi.bodies import answer, problems
from web.parameters.filter_query import refuse_repeated
from web.parameters.freshness import found, link_header
from web.parameters.schemas import NO_NUL
from web.rest.pages import page_link, page_size


class WatchedTargetList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of targets, by name. `looked_until` is null if no watcher has ever run."""

    targets: list[WatchedTarget]
    looked_until: datetime | None
    next: str | None


_EXAMPLE: dict[str, Any] = {
    "targets": [
        {
            "name": "patient-service",
            "service": "patient-service",
            "owner": "records team",
            "check": "http",
            "interval_seconds": 30.0,
            "state": "down",
            "since": "2026-03-01T08:16:00Z",
            "checked_at": "2026-03-01T08:20:00Z",
            "error": "unexpected_status",
            "reason": "the status is 503, not 200",
            "failing_since": "2026-03-01T08:15:00Z",
            "failures": 11,
        }
    ],
    "looked_until": "2026-03-01T08:20:01Z",
    "next": None,
}


class TargetQuery(BaseModel):
    """A page of targets."""

    model_config = {"extra": "forbid"}

    first: int | None = Field(default=None, ge=1, description="How many targets; 50 when absent.")
    after: str = Field(
        default="",
        max_length=200,
        pattern=NO_NUL,
        description="Only targets whose names come after this one.",
    )


def watched_target_routes(access: Access, threads: Threads, limits: QueryLimits) -> APIRouter:
    """The route."""
    router = APIRouter(prefix="/v1/watched-targets", tags=["operations"])

    @router.get(
        "",
        operation_id="listWatchedTargets",
        summary="What the watcher checks, and what it found last",
        responses={**answer(200, WatchedTargetList, _EXAMPLE), **problems(304, 400, 403, 503)},
    )
    async def list_targets(request: Request, query: Annotated[TargetQuery, Query()]) -> Response:
        refuse_repeated(request)
        first = page_size(query.first, limits.max_page)
        models = await access.models_of(request)
        page = await threads.run(models.watched_targets, first, query.after)
        after = page.targets[-1].name if page.more else None
        listed = WatchedTargetList(
            targets=page.targets,
            looked_until=page.looked_until,
            next=None if after is None else page_link(request, after=after),
        )
        return found(request, listed, link_header(next=listed.next))

    return router
