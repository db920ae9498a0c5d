"""`GET /v1/sequence-gaps`: the events that are missing, of all services that number their events."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from domain.errors import Reason, RejectedError
from queries.freshness import FreshnessWaiter, least_of
from queries.limits import QueryLimits
from queries.summaries.results import GapList
from queries.thread_pool import Threads
from web.access import Access
from web.openapi.bodies import answer, problems
from web.parameters.filter_query import refuse_repeated
from web.parameters.freshness import FreshnessQuery, found

GAP_EXAMPLE: dict[str, Any] = {
    "service": "patient-service",
    "instance": "patient-2",
    "from_number": 7,
    "to_number": 7,
    "noticed_at": "2026-03-01T08:15:30.154000Z",
    "late": False,
}


class GapQuery(FreshnessQuery):
    """The length of the list."""

    limit: int = Field(default=100, ge=1, description="How many gaps, the newest.")


def sequence_gap_routes(
    access: Access, threads: Threads, waiting: FreshnessWaiter, limits: QueryLimits
) -> APIRouter:
    """The route of all services' gaps; those of one service are in its summary."""
    router = APIRouter(prefix="/v1", tags=["subjects"])

    @router.get(
        "/sequence-gaps",
        operation_id="listSequenceGaps",
        summary="The events that are missing",
        responses={
            **answer(200, GapList, {"gaps": [GAP_EXAMPLE], "as_of_position": 1044}),
            **problems(304, 400, 403, 409, 503),
        },
    )
    async def list_gaps(request: Request, query: Annotated[GapQuery, Query()]) -> Response:
        refuse_repeated(request)
        if query.limit > limits.max_list:
            raise RejectedError(Reason.INVALID_FIELD, f"from 1 to {limits.max_list}", field="limit")
        models = await access.models_of(request)
        await waiting.until(query.freshness(), least_of(["service"]), models=models)
        gaps = await threads.run(models.sequence_gaps, query.limit)
        query.freshness().compare(gaps.as_of_position)
        return found(request, gaps)

    return router
