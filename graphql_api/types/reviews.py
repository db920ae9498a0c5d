"""Reviews and their items in the schema."""

from __future__ import annotations

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from domain.reviews.commands import ReviewKind, ReviewVerdict, Strata
from graphql_api.types.alerts import page_info
from graphql_api.types.connection import PageInfo
from graphql_api.types.descriptions import described, documented, part
from graphql_api.types.event import Event, event_from
from graphql_api.types.scalars import Long
from queries.cursors import encode_item_cursor, encode_place_cursor
from queries.detection import review_results as results
from queries.detection.results import Place
from queries.detection.review_results import ReviewFilter, ReviewItemFilter, ReviewState

strawberry.enum(ReviewKind, name="ReviewKind", description="What a review looks at.")
strawberry.enum(ReviewState, name="ReviewState", description="Whether a review is open or closed.")
strawberry.enum(ReviewVerdict, name="ReviewVerdict", description="What a reviewer decided about an item.")
strawberry.enum(
    Strata,
    name="Strata",
    description="What the events or grants were divided by before the sample was drawn.",
)


@documented
class Review:
    """A campaign in which people look at a sample of the log, or at all grants, and decide about each item."""

    review_id: strawberry.ID = described("Its id.")
    name: str = described("Its name.")
    purpose: str = described("Why it is held.")
    kind: ReviewKind = described("What it looks at.")
    state: ReviewState = described("Whether it is open or closed.")
    begun_position: Long = described("The position of the event that began it.")
    begun_at: datetime = described("When it began.")
    begun_by: str = described("Who began it.")
    due_at: datetime = described("Until when all items are to be decided.")
    overdue_at: datetime | None = described(
        "When the trail noticed that the due date had passed with items undecided."
    )
    items: Long = described("How many items it has.")
    decided: Long = described("How many of them are decided.")
    without_reviewer: Long = described("How many of them nobody has, as all reviewers are their subject.")
    own_items: Long = described("How many of them are yours.")
    own_decided: Long = described("How many of yours are decided.")
    tree_size: Long = described("The size of the signed tree that it was drawn from.")
    root_hash: str = described("The root hash of that tree, in hexadecimal.")
    closed_at: datetime | None = described("When it was closed.")
    closed_by: str | None = described("Who closed it.")
    close_reason: str | None = described("Why it was closed.")
    position: Long = described("The position of its newest event.")
    changed_at: datetime = described("When that event was recorded.")


@documented
class ReviewerProgress:
    """The items of one reviewer."""

    reviewer: str | None = described("The reviewer; null for items that nobody has.")
    reviewer_name: str | None = described("The name of that person.")
    items: Long = described("How many items.")
    decided: Long = described("How many of them are decided.")


@documented
class StratumProgress:
    """The items of one stratum."""

    stratum: str | None = described("The stratum; empty without strata, null if it is hidden from you.")
    candidates: Long = described("How many candidates it had.")
    items: Long = described("How many items were drawn.")
    decided: Long = described("How many of them are decided.")


@documented
class VerdictCount:
    """How many items have a verdict."""

    verdict: ReviewVerdict = described("The verdict.")
    items: Long = described("How many items.")


@documented
class ReviewDetail:
    """A review with how it was drawn, and the numbers of the items that you may see."""

    review: results.ReviewView = part("The review.", Review)
    filter: JSON | None = described(
        "The conditions of events, by their names in REST; null if they would tell what is hidden from you."
    )
    period_from: datetime | None = described("Only what was recorded from then on.")
    period_until: datetime | None = described("Only what was recorded before.")
    dormant_days: Long = described("Without use for that many days, an account is dormant.")
    sample_size: Long = described("The most items.")
    strata_by: Strata = described("What the candidates were divided by.")
    seed: str = described("What decided which candidates were drawn, in hexadecimal.")
    first_position: Long = described("The first position that was looked at.")
    end_position: Long = described("The position before which the look ended.")
    staff_version: Long | None = described("The version of the table `staff` that was used.")
    candidates: Long = described("How many candidates there were.")
    reviewers: list[results.ReviewerProgress] = part("The items by reviewer.", list[ReviewerProgress])
    strata: list[results.StratumProgress] = part("The 100 strata with the most items.", list[StratumProgress])
    strata_count: Long = described("How many strata there are.")
    verdicts: list[results.VerdictCount] = part("The decided items by verdict.", list[VerdictCount])
    seconds: Long = described("How long the looks took, as far as it was measured.")
    items_about_you: Long = described("How many items are about you: they are not shown to you.")
    as_of_position: Long = described("It is complete up to this position.")


@documented
class ReviewItem:
    """An item of a review."""

    item: Long = described("Its number.")
    stratum: str | None = described("The stratum that it was drawn from; null if it is hidden from you.")
    subject: str | None = described(
        "The person or service that it is about; null if it is about none, or hidden from you."
    )
    what: str | None = described("What is looked at, in words; null if it is hidden from you.")
    positions: list[Long] = described("The positions of its events.")
    reviewer: str | None = described("Its reviewer; null if nobody has it.")
    reviewer_name: str | None = described("The name of that person.")
    mine: bool = described("Whether you are its reviewer.")
    verdict: ReviewVerdict | None = described("What was decided.")
    reason: str | None = described("The reason of the decision.")
    seconds: Long | None = described("How long the look took, if it was measured.")
    decided_by: str | None = described("Who decided it.")
    decided_at: datetime | None = described("When it was decided.")
    decisions: Long = described("How often it was decided: the last decision counts.")


@documented
class ReviewItemDetail:
    """An item with its events."""

    item: results.ReviewItemView = part("The item.", ReviewItem)
    events: list[Event] = described("Its events as far as you may see them, the oldest first.")
    as_of_position: Long = described("It is complete up to this position.")


@documented
class ReviewEdge:
    """A review in a page, with its cursor."""

    node: results.ReviewView = part("The review.", Review)
    cursor: str = described("The opaque cursor of this review, for `after`.")


@documented
class ReviewConnection:
    """A page of reviews, the newest first. It may be short, even empty, and not be the last."""

    edges: list[ReviewEdge] = described("The reviews with their cursors.")
    nodes: list[results.ReviewView] = part("The reviews alone.", list[Review])
    page_info: PageInfo = described("How to ask for the next page.")
    as_of_position: Long = described(
        "The page is complete up to this position; -1 when nothing is applied yet."
    )


@documented
class ReviewItemEdge:
    """An item in a page, with its cursor."""

    node: results.ReviewItemView = part("The item.", ReviewItem)
    cursor: str = described("The opaque cursor of this item, for `after`.")


@documented
class ReviewItemConnection:
    """A page of the items of a review, by number."""

    edges: list[ReviewItemEdge] = described("The items with their cursors.")
    nodes: list[results.ReviewItemView] = part("The items alone.", list[ReviewItem])
    page_info: PageInfo = described("How to ask for the next page.")
    as_of_position: Long = described("The page is complete up to this position.")


@strawberry.input(name="ReviewFilter", description="Conditions on reviews, which must all hold.")
class ReviewFilterInput:
    """The conditions."""

    state: ReviewState | None = strawberry.field(default=None, description="Open reviews, or closed ones.")
    kind: ReviewKind | None = strawberry.field(default=None, description="What they look at.")
    overdue: bool | None = strawberry.field(
        default=None, description="Whether they are open although their due date has passed."
    )
    mine: bool | None = strawberry.field(default=None, description="Whether you have items in them.")


@strawberry.input(
    name="ReviewItemFilter", description="Conditions on the items of a review, which must all hold."
)
class ReviewItemFilterInput:
    """The conditions."""

    reviewer: str | None = strawberry.field(default=None, description="Items of this reviewer.")
    assigned: bool | None = strawberry.field(default=None, description="Whether they have a reviewer.")
    decided: bool | None = strawberry.field(default=None, description="Whether they are decided.")
    verdict: ReviewVerdict | None = strawberry.field(default=None, description="Items that were decided so.")
    mine: bool | None = strawberry.field(default=None, description="Whether you are the reviewer.")


def review_filter_from(given: ReviewFilterInput | None) -> ReviewFilter:
    """The conditions for the read models."""
    return ReviewFilter() if given is None else ReviewFilter(**vars(given))


def item_filter_from(given: ReviewItemFilterInput | None) -> ReviewItemFilter:
    """The same for items."""
    return ReviewItemFilter() if given is None else ReviewItemFilter(**vars(given))


def reviews_from(page: results.ReviewPage, after: str | None) -> ReviewConnection:
    """A page as a connection."""
    edges = [
        ReviewEdge(node=each, cursor=encode_place_cursor("w", Place(each.begun_position, each.review_id)))
        for each in page.reviews
    ]
    return ReviewConnection(
        edges=edges,
        nodes=page.reviews,
        page_info=page_info("w", after, [each.cursor for each in edges], page.next),
        as_of_position=Long(page.as_of_position),
    )


def items_from(page: results.ReviewItemPage, review: str, after: str | None) -> ReviewItemConnection:
    """A page of items as a connection."""
    edges = [ReviewItemEdge(node=each, cursor=encode_item_cursor(review, each.item)) for each in page.items]
    return ReviewItemConnection(
        edges=edges,
        nodes=page.items,
        page_info=PageInfo(
            has_next_page=page.next is not None,
            has_previous_page=after is not None,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=edges[-1].cursor if edges else None,
        ),
        as_of_position=Long(page.as_of_position),
    )


def item_from(found: results.ReviewItemDetail) -> ReviewItemDetail:
    """An item with its events."""
    return ReviewItemDetail(
        item=found.item,
        events=[event_from(each) for each in found.events],
        as_of_position=Long(found.as_of_position),
    )
