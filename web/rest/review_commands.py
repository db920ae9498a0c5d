"""Commands about reviews: `POST /v1/reviews`, and below it to decide and reassign an item, and to close a review."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from domain.cases.commands import CommandBody, tag_of
from domain.reviews.commands import (
    MAX_ITEMS,
    BeginReview,
    CloseReview,
    DecideItem,
    ReassignItem,
    decode_review_body,
)
from web.openapi.commands import request_body
from web.rest.commands import (
    Commands,
    Given,
    IdempotencyKey,
    command_text,
    made_by,
    refuse_other_media,
    responses_of,
)

_NO_REVIEW = "there is no such review"
_ITEM = ("item",)
_BEGIN = {
    "name": "Accesses of spring",
    "purpose": "The yearly review.",
    "reviewed": "events",
    "reviewers": [{"id": "r.reviewer", "name": "Rita Reviewer"}],
    "due_at": "2099-06-30T00:00:00Z",
    "sample_size": 100,
    "strata": "department",
    "filter": {"category": ["data"], "emergency": True},
}
_DECIDE = {"verdict": "justified", "reason": "The patient was on the ward.", "seconds": 40}
_REASSIGN = {"reviewer": {"id": "s.second"}, "reason": "Rita is away."}
_CLOSE = {"reason": "Enough was seen."}
ItemNumber = Annotated[int, Path(ge=1, le=MAX_ITEMS, description="The number of the item.", examples=[7])]


def review_command_routes(commands: Commands) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/v1/reviews", tags=["detection"])

    @router.post(
        "",
        operation_id="beginReview",
        summary="Begin a review, and draw its work list",
        status_code=201,
        responses=responses_of(201, tag_of(BeginReview), creates=True, missing=""),
        openapi_extra=request_body(BeginReview, _BEGIN),
    )
    async def begin(request: Request, key: IdempotencyKey) -> Response:
        review = made_by(key)
        return await _give(
            commands, request, BeginReview, (key, review), creates=True, location=f"/v1/reviews/{review}"
        )

    @router.post(
        "/{id}/close",
        operation_id="closeReview",
        summary="End a review",
        responses=responses_of(200, tag_of(CloseReview), creates=False, missing=_NO_REVIEW),
        openapi_extra=request_body(CloseReview, _CLOSE),
    )
    async def close(request: Request, id: UUID, key: IdempotencyKey) -> Response:
        return await _give(commands, request, CloseReview, (key, id))

    @router.post(
        "/{id}/items/{item}/decide",
        operation_id="decideReviewItem",
        summary="Decide an item of yours, or correct your decision",
        responses=responses_of(200, tag_of(DecideItem), creates=False, missing=_NO_REVIEW),
        openapi_extra=request_body(DecideItem, _DECIDE, _ITEM),
    )
    async def decide(request: Request, id: UUID, item: ItemNumber, key: IdempotencyKey) -> Response:
        return await _give(commands, request, DecideItem, (key, id), item=item)

    @router.post(
        "/{id}/items/{item}/reassign",
        operation_id="reassignReviewItem",
        summary="Give an item to another reviewer",
        responses=responses_of(200, tag_of(ReassignItem), creates=False, missing=_NO_REVIEW),
        openapi_extra=request_body(ReassignItem, _REASSIGN, _ITEM),
    )
    async def reassign(request: Request, id: UUID, item: ItemNumber, key: IdempotencyKey) -> Response:
        return await _give(commands, request, ReassignItem, (key, id), item=item)

    return router


async def _give(
    commands: Commands,
    request: Request,
    kind: type[CommandBody],
    ids: tuple[UUID, UUID],
    *,
    creates: bool = False,
    location: str | None = None,
    **from_path: Any,
) -> Response:
    """Give a command; `ids` are those of the command and the review."""
    refused = refuse_other_media(request)
    if refused is not None:
        return refused
    body = decode_review_body(command_text(await request.body(), kind=tag_of(kind), **from_path))
    given = Given(*ids, body, creates, location)
    return await commands.give(request, "review_command", commands.required().give_review, given)
