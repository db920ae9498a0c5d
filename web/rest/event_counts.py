"""`GET /v1/event-counts`: how many events match, in buckets."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request
from msgspec.structs import astuple
from pydantic import Field
from starlette.responses import Response

from domain.errors import Reason, RejectedError
from queries.filters.event_filter import CountBy, Distinct
from queries.freshness import FreshnessWaiter
from queries.limits import QueryLimits
from queries.thread_pool import Threads
from web.access import Access
from web.openapi.bodies import answer, problems
from web.parameters.filter_query import FilterQuery, refuse_repeated, renamed
from web.parameters.freshness import FreshnessQuery, found

_EXAMPLE: dict[str, Any] = {
    "buckets": [
        {
            "key": "2026-03-01T08:00:00+00:00",
            "from": "2026-03-01T08:00:00Z",
            "until": "2026-03-01T09:00:00Z",
            "events": 10,
            "patients": 4,
            "actors": None,
        }
    ],
    "bucket_count": 1,
    "events": 10,
    "patients": 4,
    "actors": None,
    "as_of_position": 1044,
}


class EventCount(msgspec.Struct, frozen=True, rename={"from_at": "from", "until_at": "until"}):
    """The events of one bucket. `from` and `until` are those of an hour or a day, else null.

    `patients` and `actors` are how many different ones the events name; null unless `distinct` asks for them.
    """

    key: str | None
    from_at: datetime | None
    until_at: datetime | None
    events: int
    patients: int | None
    actors: int | None


class EventCountList(msgspec.Struct, frozen=True, kw_only=True):
    """Exact counts, complete up to `as_of_position`: the largest buckets first, of hours and days the newest.

    `events` is the sum of all `bucket_count` buckets, those too that `first` cuts. A patient or actor of several
    buckets counts in each of them, and once in `patients` or `actors`.
    """

    buckets: list[EventCount]
    bucket_count: int
    events: int
    patients: int | None
    actors: int | None
    as_of_position: int


class CountQuery(FilterQuery, FreshnessQuery):
    """The filters, and the kind of bucket."""

    by: CountBy = Field(
        description="What a bucket is of. Hours and days are by the sources' clocks, in UTC. An event of "
        "several patients is in the bucket of each, and one of no patient in none."
    )
    distinct: list[Distinct] = Field(
        default_factory=list,
        description="Count different patients or actors too, which takes more time. May be repeated.",
    )
    first: int = Field(default=100, ge=1, description="How many buckets at most.")


def count_routes(
    access: Access, threads: Threads, waiting: FreshnessWaiter, limits: QueryLimits
) -> APIRouter:
    """The route that counts."""
    router = APIRouter(prefix="/v1/event-counts", tags=["events"])

    @router.get(
        "",
        operation_id="countEvents",
        summary="How many events match, by type, actor, hour and so on",
        responses={**answer(200, EventCountList, _EXAMPLE), **problems(304, 400, 403, 409, 503)},
    )
    async def count_events(request: Request, parameters: Annotated[CountQuery, Query()]) -> Response:
        refuse_repeated(request, "distinct")
        if parameters.first > limits.max_list:
            raise RejectedError(Reason.INVALID_FIELD, f"from 1 to {limits.max_list}", field="first")
        models = await access.models_of(request)
        freshness = parameters.freshness()
        try:
            query = models.prepare(
                parameters.filter(),
                parameters.by,
                parameters.distinct,
                max_days=limits.max_unindexed_days,
            )
            await waiting.until(freshness, query.complete_up_to, models=models)
            counts = await threads.run(models.event_counts, query, parameters.first)
        except RejectedError as exc:
            raise renamed(exc) from exc
        freshness.compare(counts.as_of_position)
        listed = EventCountList(
            buckets=[EventCount(*astuple(each)) for each in counts.buckets],
            bucket_count=counts.bucket_count,
            events=counts.events,
            patients=counts.patients,
            actors=counts.actors,
            as_of_position=counts.as_of_position,
        )
        return found(request, listed)

    return router
