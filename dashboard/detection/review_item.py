"""One item of a review with its events in words, and the forms to decide it and to give it to somebody else.

A reviewer gets their items one after the other, by *My items*.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import ClassVar
from urllib.parse import urlencode
from uuid import uuid4

from msgspec import Struct

from dashboard import links
from dashboard.detection.review_words import is_open, reviewer_of, verdict_of, verdicts_of
from dashboard.detection.reviews import MINE
from dashboard.detection.words import LONGEST, FormResult, Said, person, unshown_text
from dashboard.event_page import Fact, facts_of
from dashboard.event_rows import EventRow, rows_of
from dashboard.render import View
from dashboard.sentences import sentence
from dashboard.texts import duration, many
from dashboard.viewer import Moment, Viewer
from domain.access.grants import Operation
from queries.detection.review_results import ReviewItemDetail, ReviewView

FORMS = ("decide", "reassign")
"""The forms of the page: the last part of the path that each is sent to."""


class OwnItems(Struct, frozen=True, kw_only=True):
    """Where an item is among those of the viewer: how many are left, and the address of the next one."""

    left: int
    skip: str


class ReviewItemPage(View, frozen=True, kw_only=True):
    """The page. `text` is the event in words when there is one alone, and `facts` what else it says.

    `unseen`: events that are not shown to the viewer. `own` is set on the way through the viewer's items.
    """

    template: ClassVar[str] = "review_item.html"
    link: str
    review: str
    review_link: str
    number: int
    due: Moment
    late: bool
    is_open: bool
    what: str
    about: str
    about_link: str
    stratum: str
    reviewer: str
    text: str
    facts: list[Fact]
    events: list[EventRow]
    unseen: int
    decision: str
    decided: Moment | None
    decided_by: str
    why: str
    took: str
    corrections: str
    may_decide: bool
    may_reassign: bool
    verdicts: list[tuple[str, str]]
    commands: Mapping[str, str]
    longest: int
    own: OwnItems | None
    said: Said | None
    typed: Mapping[str, str]
    unshown: str
    as_of_position: int


class NoItems(View, frozen=True, kw_only=True):
    """The page of somebody who has nothing to decide."""

    template: ClassVar[str] = "no_items.html"
    said: Said | None
    as_of_position: int


def next_link(review: str, item: int) -> str:
    """The viewer's next item after this one."""
    return f"{MINE}?{urlencode({'review': review, 'after': item})}"


def item_page(
    review: ReviewView,
    found: ReviewItemDetail,
    viewer: Viewer,
    result: FormResult | None = None,
    *,
    left: int | None = None,
) -> ReviewItemPage:
    """The page of one item; with `left`, on the way through the viewer's items, of which so many are not decided."""
    item, events = found.item, found.events
    about, about_link = person(item.subject, viewer, "nobody, or not shown")
    shown = _shown_forms(review, found, viewer)
    return ReviewItemPage(
        viewer=viewer,
        title=f"Item {item.item}: {review.name}" if left is None else "My items",
        link=links.review_item(review.review_id, item.item),
        review=review.name,
        review_link=links.review(review.review_id),
        number=item.item,
        due=viewer.moment(review.due_at),
        late=review.overdue,
        is_open=is_open(review),
        what=item.what or "not shown to you",
        about=about,
        about_link=about_link,
        stratum=item.stratum or "",
        reviewer=reviewer_of(item.reviewer, item.reviewer_name, viewer),
        text=sentence(events[0].event) if len(events) == 1 else "",
        facts=facts_of(events[0].event) if len(events) == 1 else [],
        events=rows_of(events, viewer),
        unseen=len(set(item.positions)) - len(events),
        decision="" if item.verdict is None else verdict_of(item),
        decided=None if item.decided_at is None else viewer.moment(item.decided_at),
        decided_by=item.decided_by or "",
        why=item.reason or "",
        took="" if item.seconds is None else duration(timedelta(seconds=item.seconds)),
        corrections=many(item.decisions - 1, "time") if item.decisions > 1 else "",
        may_decide="decide" in shown,
        may_reassign="reassign" in shown,
        verdicts=verdicts_of(review.kind),
        commands={form: str(uuid4()) for form in FORMS},
        longest=LONGEST,
        own=None if left is None else OwnItems(left=left, skip=next_link(review.review_id, item.item)),
        said=None if result is None else result.said,
        typed={} if result is None else result.typed,
        unshown="" if result is None else unshown_text(result.typed, shown),
        as_of_position=found.as_of_position,
    )


def no_items(as_of_position: int, viewer: Viewer, said: Said | None) -> NoItems:
    """The page of somebody who has nothing to decide."""
    return NoItems(viewer=viewer, title="My items", said=said, as_of_position=as_of_position)


def _shown_forms(review: ReviewView, found: ReviewItemDetail, viewer: Viewer) -> frozenset[str]:
    """The forms that the viewer gets. An item about the viewer is never shown."""
    if not is_open(review):
        return frozenset()
    decide = {"decide"} if found.item.mine and viewer.may(Operation.DECIDE_CASES) else set()
    return frozenset(decide | ({"reassign"} if viewer.may(Operation.RUN_REVIEWS) else set()))
