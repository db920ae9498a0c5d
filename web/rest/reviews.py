"""`GET /v1/reviews`: review campaigns, how far they are, and their items."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from domain.reviews.commands import ReviewKind, ReviewVerdict
from queries.cursors import (
    decode_item_cursor,
    decode_place_cursor,
    encode_item_cursor,
    encode_place_cursor,
)
from queries.detection.read_models import PROJECTION
from queries.detection.results import BEGIN
from queries.detection.review_results import (
    ReviewDetail,
    ReviewFilter,
    ReviewItemDetail,
    ReviewItemFilter,
    ReviewItemView,
    ReviewState,
    ReviewView,
)
from queries.freshness import FreshnessWaiter, least_of
from queries.limits import QueryLimits
from queries.thread_pool import Threads
from web.access import Access
from web.http.problems import problem
from web.openapi.bodies import EVENT_EXAMPLE, answer, problems
from web.parameters.filter_query import refuse_repeated
from web.parameters.freshness import FreshnessQuery, Switch, found, link_header
from web.parameters.schemas import ITEM_CURSOR, NO_NUL, REVIEW_CURSOR
from web.rest.pages import page_link, page_size
from web.rest.review_commands import ItemNumber

NO_REVIEW = "no review that you may see has this id"
NO_ITEM = "no item that you may see has this number"
_REVIEW: dict[str, Any] = {
    "review_id": "4b0f4a0e-7f3c-5d6f-9a53-0c5f6f0f1a01",
    "name": "Accesses of spring",
    "purpose": "The yearly review.",
    "kind": "events",
    "state": "open",
    "begun_position": 1050,
    "begun_at": "2026-03-01T10:00:00Z",
    "begun_by": "p.paragraph",
    "due_at": "2026-06-30T00:00:00Z",
    "overdue_at": None,
    "items": 100,
    "decided": 12,
    "without_reviewer": 0,
    "own_items": 50,
    "own_decided": 6,
    "tree_size": 1050,
    "root_hash": "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9",
    "closed_at": None,
    "closed_by": None,
    "close_reason": None,
    "position": 1071,
    "changed_at": "2026-03-01T11:00:00Z",
}
_DETAIL: dict[str, Any] = {
    "review": _REVIEW,
    "filter": {"category": ["data"]},
    "period_from": None,
    "period_until": None,
    "dormant_days": 90,
    "sample_size": 100,
    "strata_by": "department",
    "seed": "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0",
    "first_position": 0,
    "end_position": 1050,
    "staff_version": 3,
    "candidates": 870,
    "reviewers": [{"reviewer": "r.reviewer", "reviewer_name": "Rita Reviewer", "items": 50, "decided": 6}],
    "strata": [{"stratum": "ward 1", "candidates": 410, "items": 47, "decided": 5}],
    "strata_count": 6,
    "verdicts": [{"verdict": "justified", "items": 11}, {"verdict": "policy_breach", "items": 1}],
    "seconds": 512,
    "items_about_you": 0,
    "as_of_position": 1071,
}
_ITEM: dict[str, Any] = {
    "item": 7,
    "stratum": "ward 1",
    "subject": "Practitioner/17",
    "what": "record.read by Practitioner/17",
    "positions": [1042],
    "reviewer": "r.reviewer",
    "reviewer_name": "Rita Reviewer",
    "mine": True,
    "verdict": None,
    "reason": None,
    "seconds": None,
    "decided_by": None,
    "decided_at": None,
    "decisions": 0,
}


class ReviewList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of reviews, the newest first. It may be short, even empty, and not be the last: follow `next`."""

    reviews: list[ReviewView]
    as_of_position: int
    next: str | None


class ReviewItemList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the items of a review, by number."""

    items: list[ReviewItemView]
    as_of_position: int
    next: str | None


_Text = Annotated[str, Field(min_length=1, max_length=256, pattern=NO_NUL)]


class ReviewQuery(FreshnessQuery):
    """Conditions on reviews, and a page."""

    state: Literal["open", "closed"] | None = Field(default=None, description="Open reviews, or closed ones.")
    kind: Literal["events", "break_glass", "grants", "dormant"] | None = Field(
        default=None, description="What they look at."
    )
    overdue: Switch | None = Field(
        default=None, description="Whether they are open although their due date has passed."
    )
    mine: Switch | None = Field(default=None, description="Whether you have items in them.")
    first: int | None = Field(default=None, ge=1, description="How many reviews; 50 when absent.")
    after: str | None = Field(
        default=None, pattern=REVIEW_CURSOR, description="Only reviews after this cursor."
    )

    def filter(self) -> ReviewFilter:
        """The conditions."""
        return ReviewFilter(
            state=None if self.state is None else ReviewState(self.state),
            kind=None if self.kind is None else ReviewKind(self.kind),
            overdue=self.overdue,
            mine=self.mine,
        )


class ReviewItemQuery(FreshnessQuery):
    """Conditions on the items of a review, and a page."""

    reviewer: _Text | None = Field(default=None, description="Items of this reviewer.")
    assigned: Switch | None = Field(default=None, description="Whether they have a reviewer.")
    decided: Switch | None = Field(default=None, description="Whether they are decided.")
    verdict: Literal["justified", "policy_breach", "revoke", "unclear"] | None = Field(
        default=None, description="Items that were decided so."
    )
    mine: Switch | None = Field(default=None, description="Whether you are the reviewer.")
    first: int | None = Field(default=None, ge=1, description="How many items; 50 when absent.")
    after: str | None = Field(default=None, pattern=ITEM_CURSOR, description="Only items after this cursor.")

    def filter(self) -> ReviewItemFilter:
        """The conditions."""
        return ReviewItemFilter(
            reviewer=self.reviewer,
            assigned=self.assigned,
            decided=self.decided,
            verdict=None if self.verdict is None else ReviewVerdict(self.verdict),
            mine=self.mine,
        )


def review_routes(
    access: Access, threads: Threads, waiting: FreshnessWaiter, limits: QueryLimits
) -> APIRouter:
    """The routes that read."""
    router = APIRouter(prefix="/v1/reviews", tags=["detection"])

    @router.get(
        "",
        operation_id="listReviews",
        summary="Reviews, newest first",
        responses={
            **answer(200, ReviewList, {"reviews": [_REVIEW], "as_of_position": 1071, "next": None}),
            **problems(304, 400, 403, 409, 503),
        },
    )
    async def list_reviews(request: Request, query: Annotated[ReviewQuery, Query()]) -> Response:
        refuse_repeated(request)
        first = page_size(query.first, limits.max_page)
        place = BEGIN if query.after is None else decode_place_cursor(query.after, "w")
        models = await access.models_of(request)
        models.require_cases("reviews")
        await waiting.until(query.freshness(), least_of([PROJECTION]), models=models)
        page = await threads.run(models.reviews, query.filter(), first, place)
        query.freshness().compare(page.as_of_position)
        after = None if page.next is None else encode_place_cursor("w", page.next)
        listed = ReviewList(
            reviews=page.reviews,
            as_of_position=page.as_of_position,
            next=None if after is None else page_link(request, after=after),
        )
        return found(request, listed, link_header(next=listed.next))

    @router.get(
        "/{id}",
        operation_id="getReview",
        summary="One review with its numbers",
        responses={
            **answer(200, ReviewDetail, _DETAIL),
            **problems(304, 400, 403, 404, 409, 503, missing=NO_REVIEW),
        },
    )
    async def get_review(request: Request, id: UUID, query: Annotated[FreshnessQuery, Query()]) -> Response:
        refuse_repeated(request)
        models = await access.models_of(request)
        models.require_cases("review", id=str(id))
        await waiting.until(query.freshness(), least_of([PROJECTION]), models=models)
        detail = await threads.run(models.review, str(id))
        return problem(404, NO_REVIEW) if detail is None else found(request, detail)

    @router.get(
        "/{id}/items",
        operation_id="listReviewItems",
        summary="The items of a review, by number",
        responses={
            **answer(200, ReviewItemList, {"items": [_ITEM], "as_of_position": 1071, "next": None}),
            **problems(304, 400, 403, 404, 409, 503, missing=NO_REVIEW),
        },
    )
    async def list_items(request: Request, id: UUID, query: Annotated[ReviewItemQuery, Query()]) -> Response:
        refuse_repeated(request)
        first = page_size(query.first, limits.max_page)
        after = 0 if query.after is None else decode_item_cursor(query.after, str(id))
        models = await access.models_of(request)
        models.require_cases("review_items", id=str(id))
        await waiting.until(query.freshness(), least_of([PROJECTION]), models=models)
        page = await threads.run(models.review_items, str(id), query.filter(), first, after)
        if page is None:
            return problem(404, NO_REVIEW)
        query.freshness().compare(page.as_of_position)
        cursor = None if page.next is None else encode_item_cursor(str(id), page.next)
        listed = ReviewItemList(
            items=page.items,
            as_of_position=page.as_of_position,
            next=None if cursor is None else page_link(request, after=cursor),
        )
        return found(request, listed, link_header(next=listed.next))

    @router.get(
        "/{id}/items/{item}",
        operation_id="getReviewItem",
        summary="One item with its events",
        responses={
            **answer(
                200, ReviewItemDetail, {"item": _ITEM, "events": [EVENT_EXAMPLE], "as_of_position": 1071}
            ),
            **problems(304, 400, 403, 404, 409, 503, missing=NO_ITEM),
        },
    )
    async def get_item(
        request: Request, id: UUID, item: ItemNumber, query: Annotated[FreshnessQuery, Query()]
    ) -> Response:
        refuse_repeated(request)
        models = await access.models_of(request)
        models.require_cases("review_item", id=str(id), item=item)
        await waiting.until(query.freshness(), least_of([PROJECTION]), models=models)
        detail = await threads.run(models.review_item, str(id), item)
        return problem(404, NO_ITEM) if detail is None else found(request, detail)

    return router
