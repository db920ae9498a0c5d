"""The fields of Query about reviews."""

from __future__ import annotations

from typing import Annotated, Any

import strawberry

from graphql_api.context import Info
from graphql_api.errors import translated
from graphql_api.types.alerts import After, First, place_of
from graphql_api.types.arguments import MinPosition, WaitForPosition, WaitSeconds
from graphql_api.types.descriptions import argument, documented
from graphql_api.types.detection import ready
from graphql_api.types.reviews import (
    ReviewConnection,
    ReviewDetail,
    ReviewFilterInput,
    ReviewItemConnection,
    ReviewItemDetail,
    ReviewItemFilterInput,
    item_filter_from,
    item_from,
    items_from,
    review_filter_from,
    reviews_from,
)
from queries.cursors import decode_item_cursor
from queries.detection import review_results as results
from queries.freshness import Freshness

Id = Annotated[strawberry.ID, argument("The review's id.")]


async def _reviews(
    info: Info,
    first: First,
    after: After = None,
    filter: Annotated[ReviewFilterInput | None, argument("Which reviews; all when absent.")] = None,
    min_position: MinPosition = None,
    wait_for_position: WaitForPosition = None,
    wait_seconds: WaitSeconds = None,
) -> ReviewConnection:
    context = info.context
    place = place_of(context, first, after, "w")
    freshness = Freshness(min_position, wait_for_position, wait_seconds)
    await ready(info, "reviews", freshness)
    page = await context.read(context.models.reviews, review_filter_from(filter), first, place)
    context.compare(freshness, page.as_of_position)
    return reviews_from(page, after)


async def _review(
    info: Info,
    id: Id,
    min_position: MinPosition = None,
    wait_for_position: WaitForPosition = None,
    wait_seconds: WaitSeconds = None,
) -> Any:
    context = info.context
    await ready(info, "review", Freshness(min_position, wait_for_position, wait_seconds))
    return await context.read(context.models.review, id)


async def _review_items(
    info: Info,
    id: Id,
    first: First,
    after: After = None,
    filter: Annotated[ReviewItemFilterInput | None, argument("Which items; all when absent.")] = None,
    min_position: MinPosition = None,
    wait_for_position: WaitForPosition = None,
    wait_seconds: WaitSeconds = None,
) -> ReviewItemConnection | None:
    context = info.context
    context.page_size(first)
    with translated():
        place = 0 if after is None else decode_item_cursor(after, id)
    freshness = Freshness(min_position, wait_for_position, wait_seconds)
    await ready(info, "review_items", freshness)
    page = await context.read(context.models.review_items, id, item_filter_from(filter), first, place)
    if page is None:
        return None
    context.compare(freshness, page.as_of_position)
    return items_from(page, id, after)


async def _review_item(
    info: Info,
    id: Id,
    item: Annotated[int, argument("The number of the item.")],
    min_position: MinPosition = None,
    wait_for_position: WaitForPosition = None,
    wait_seconds: WaitSeconds = None,
) -> ReviewItemDetail | None:
    context = info.context
    await ready(info, "review_item", Freshness(min_position, wait_for_position, wait_seconds))
    found = await context.read(context.models.review_item, id, item)
    if found is None:
        return None
    context.spend(len(found.events))
    return item_from(found)


@documented
class ReviewQueries:
    """All queries about reviews."""

    reviews: ReviewConnection = strawberry.field(
        resolver=_reviews, description="The reviews that match, newest first."
    )
    review: results.ReviewDetail | None = strawberry.field(
        resolver=_review,
        graphql_type=ReviewDetail | None,
        description="One review with its numbers; null when there is none that you may see.",
    )
    review_items: ReviewItemConnection | None = strawberry.field(
        resolver=_review_items,
        description="The items of a review, by number; null when there is no review that you may see.",
    )
    review_item: ReviewItemDetail | None = strawberry.field(
        resolver=_review_item,
        description="One item with its events; null when there is none that you may see.",
    )
