"""The list of reviews: those with items of the viewer, the open ones, those that are overdue, and the closed ones."""

from __future__ import annotations

from typing import ClassVar
from urllib.parse import urlencode

from msgspec import Struct

from dashboard import links
from dashboard.detection.review_words import KINDS, review_state
from dashboard.detection.words import Chosen
from dashboard.render import View
from dashboard.viewer import Moment, Viewer
from domain.access.grants import Operation
from queries.cursors import encode_place_cursor
from queries.detection.review_results import ReviewFilter, ReviewPage, ReviewState, ReviewView

PATH = "/reviews"
MINE = "/my-items"
PAGE = 50
REVIEWS = "w"
"""The kind of the list in its cursors."""


class ReviewListKind(Struct, frozen=True):
    """One of the lists."""

    text: str
    nothing: str
    filter: ReviewFilter = ReviewFilter()


LISTS = {
    "open": ReviewListKind("Open", "No review is open.", ReviewFilter(state=ReviewState.OPEN)),
    "overdue": ReviewListKind("Overdue", "No review is overdue.", ReviewFilter(overdue=True)),
    "mine": ReviewListKind("With items of mine", "You have no items in any review.", ReviewFilter(mine=True)),
    "closed": ReviewListKind("Closed", "No review is closed.", ReviewFilter(state=ReviewState.CLOSED)),
    "all": ReviewListKind("All", "There is no review."),
}
USUAL = "open"


class ReviewRow(Struct, frozen=True, kw_only=True):
    """A review in a list."""

    link: str
    name: str
    kind: str
    due: Moment
    late: bool
    state: str
    items: int
    decided: int
    without_reviewer: int
    mine: str


class ReviewList(View, frozen=True, kw_only=True):
    """The page."""

    template: ClassVar[str] = "reviews.html"
    lists: list[Chosen]
    nothing: str
    rows: list[ReviewRow]
    newer: str
    older: str
    may_decide: bool
    may_begin: bool
    as_of_position: int


def review_list(page: ReviewPage, viewer: Viewer, name: str, *, older: bool) -> ReviewList:
    """The list of one page."""
    return ReviewList(
        viewer=viewer,
        title="Reviews",
        lists=[Chosen(each.text, _address(key), key == name) for key, each in LISTS.items()],
        nothing=LISTS[name].nothing,
        rows=[_row(each, viewer) for each in page.reviews],
        newer=_address(name) if older else "",
        older="" if page.next is None else _address(name, encode_place_cursor(REVIEWS, page.next)),
        may_decide=viewer.may(Operation.DECIDE_CASES),
        may_begin=viewer.may(Operation.RUN_REVIEWS),
        as_of_position=page.as_of_position,
    )


def _row(review: ReviewView, viewer: Viewer) -> ReviewRow:
    return ReviewRow(
        link=links.review(review.review_id),
        name=review.name,
        kind=KINDS[review.kind],
        due=viewer.moment(review.due_at),
        late=review.overdue,
        state=review_state(review),
        items=review.items,
        decided=review.decided,
        without_reviewer=review.without_reviewer,
        mine=f"{review.own_decided} of {review.own_items}" if review.own_items else "",
    )


def _address(name: str, after: str = "") -> str:
    given = {"list": name, "after": after}
    return f"{PATH}?{urlencode([(name, value) for name, value in given.items() if value])}"
