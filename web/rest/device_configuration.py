"""`GET /v1/devices/{id}/configuration`: the configuration of a device as of a time, as in GraphQL."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from queries.cursors import decode_configuration_cursor, encode_configuration_cursor
from queries.freshness import FreshnessWaiter, least_of
from queries.limits import QueryLimits
from queries.summaries.configuration import ChangePlace, ConfigurationPage
from queries.summaries.results import ConfigurationValue
from queries.thread_pool import Threads
from web.access import Access
from web.http.problems import problem
from web.openapi.bodies import answer, problems
from web.parameters.filter_query import Moment, refuse_repeated
from web.parameters.freshness import (
    FreshnessQuery,
    Identifier,
    found,
    link_header,
)
from web.parameters.schemas import CONFIGURATION_CURSOR
from web.rest.pages import page_link, page_size


class ConfigurationValueList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a device's configuration at `as_of`, by path. It may be short, and not be the last: follow `next`."""

    as_of: datetime
    values: list[ConfigurationValue]
    as_of_position: int
    next: str | None


_EXAMPLE: dict[str, Any] = {
    "as_of": "2026-03-01T03:00:00Z",
    "values": [
        {
            "path": "rate.max",
            "value": 12.5,
            "since": "2026-02-27T14:05:11.020000Z",
            "changed_by": "t.technician",
            "from_later_change": False,
            "position": 731,
            "event_id": "0193a2a5-7c1e-7b44-9a53-0c5f6f0f1a01",
        }
    ],
    "as_of_position": 1044,
    "next": None,
}
_MISSING = "no event names this device"


class ConfigurationQuery(FreshnessQuery):
    """A time, and a page of values."""

    as_of: Moment | None = Field(default=None, description="The time, with its offset; now when absent.")
    first: int | None = Field(default=None, ge=1, description="How many values; 50 when absent.")
    after: str | None = Field(
        default=None, pattern=CONFIGURATION_CURSOR, description="Only values after this cursor."
    )


def configuration_routes(
    access: Access, threads: Threads, waiting: FreshnessWaiter, limits: QueryLimits
) -> APIRouter:
    """The route. It comes before those of `web.rest.summaries`, where an identifier may hold a slash."""
    router = APIRouter(prefix="/v1", tags=["subjects"])

    @router.get(
        "/devices/{id:any}/configuration",
        operation_id="getDeviceConfiguration",
        summary="The configuration of a device as of a time",
        responses={
            **answer(200, ConfigurationValueList, _EXAMPLE),
            **problems(304, 400, 403, 404, 409, 503, missing=_MISSING),
        },
    )
    async def get_configuration(
        request: Request, id: Identifier, query: Annotated[ConfigurationQuery, Query()]
    ) -> Response:
        refuse_repeated(request)
        first = page_size(query.first, limits.max_page)
        place = None if query.after is None else ChangePlace(*decode_configuration_cursor(query.after))
        models = await access.models_of(request)
        models.require_configuration(id, query.as_of, first, place)
        await waiting.until(query.freshness(), least_of(["device"]), models=models)
        page = await threads.run(models.device_configuration, id, query.as_of, first, place)
        if page is None:
            return problem(404, _MISSING)
        query.freshness().compare(page.as_of_position)
        listed = ConfigurationValueList(
            as_of=page.as_of,
            values=page.values,
            as_of_position=page.as_of_position,
            next=_next(request, page),
        )
        return found(request, listed, link_header(next=listed.next))

    return router


def _next(request: Request, page: ConfigurationPage) -> str | None:
    """The next page, at the same time as this one."""
    if page.end is None:
        return None
    return page_link(request, as_of=page.as_of.isoformat(), after=encode_configuration_cursor(*page.end))
