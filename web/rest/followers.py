"""`GET /v1/followers`: the followers that send the log to other systems, and how far each is."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from queries.summaries.results import FollowerStatus
from queries.thread_pool import Threads
from web.access import Access
from web.openapi.bodies import answer, problems


class FollowerList(msgspec.Struct, frozen=True, kw_only=True):
    """All followers, by name. `destination` is the receiver, without what is confidential of its address."""

    followers: list[FollowerStatus]


_EXAMPLE: dict[str, Any] = {
    "followers": [
        {
            "name": "siem",
            "destination": "syslog siem.example:6514",
            "state": "running",
            "position": 1044,
            "lag": 0,
            "lag_seconds": 0.0,
            "sent": 310,
            "sent_position": 1041,
            "sent_at": "2026-03-01T08:15:30.120000Z",
            "problem": None,
            "problem_since": None,
            "failed_position": None,
        }
    ]
}


def follower_routes(access: Access, threads: Threads) -> APIRouter:
    """The route."""
    router = APIRouter(prefix="/v1/followers", tags=["followers"])

    @router.get(
        "",
        operation_id="listFollowers",
        summary="The followers that send the log to other systems",
        responses={**answer(200, FollowerList, _EXAMPLE), **problems(403, 503)},
    )
    async def list_followers(request: Request) -> Response:
        models = await access.models_of(request)
        found = FollowerList(followers=await threads.run(models.followers))
        return Response(msgspec.json.encode(found), media_type="application/json")

    return router
