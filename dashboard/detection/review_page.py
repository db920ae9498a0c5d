"""One review: how far it is, how it was drawn, and its items."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import ClassVar
from urllib.parse import urlencode
from uuid import uuid4

from msgspec import Struct

from dashboard import links
from dashboard.detection.review_words import KINDS, STRATA, is_open, review_state, reviewer_of, verdict_of
from dashboard.detection.words import LONGEST, Chosen, FormResult, Said, person, unshown_text
from dashboard.render import View
from dashboard.texts import as_text, duration, many
from dashboard.viewer import Moment, Viewer
from domain.access.grants import Operation
from domain.reviews.commands import ReviewVerdict, Strata
from queries.cursors import encode_item_cursor
from queries.detection.review_results import (
    ReviewDetail,
    ReviewItemFilter,
    ReviewItemPage,
    ReviewItemView,
    StratumProgress,
)

PAGE = 50
FORMS = ("close",)
"""The forms of the page: the last part of the path that each is sent to."""
_ITEM_LISTS: dict[str, tuple[str, ReviewItemFilter]] = {
    "all": ("All", ReviewItemFilter()),
    "mine": ("Mine", ReviewItemFilter(mine=True)),
    "undecided": ("Not decided", ReviewItemFilter(decided=False)),
    "unassigned": ("Without a reviewer", ReviewItemFilter(assigned=False)),
    **{
        verdict.value: (verdict.value.replace("_", " ").capitalize(), ReviewItemFilter(verdict=verdict))
        for verdict in ReviewVerdict
    },
}
USUAL = "all"


class Progress(Struct, frozen=True, kw_only=True):
    """How many items of a group there are, and how many of them are decided. `share` is in percent."""

    name: str
    link: str
    candidates: int
    items: int
    decided: int
    share: float


class ItemRow(Struct, frozen=True, kw_only=True):
    """An item in the list."""

    link: str
    number: int
    what: str
    about: str
    about_link: str
    stratum: str
    reviewer: str
    decision: str
    why: str
    serious: bool


class ReviewDetailPage(View, frozen=True, kw_only=True):
    """The page. `filter` has the conditions of events; `hidden_filter`: they are not shown to the viewer."""

    template: ClassVar[str] = "review.html"
    link: str
    purpose: str
    kind: str
    state: str
    late: bool
    is_open: bool
    due: Moment
    begun: Moment
    begun_by: str
    closed: Moment | None
    closed_by: str
    close_reason: str
    progress: Progress
    without_reviewer: int
    without_link: str
    own: str
    about_you: int
    tree_size: int
    root_hash: str
    seed: str
    filter: list[tuple[str, str]]
    hidden_filter: bool
    period: list[tuple[str, Moment]]
    drawn: str
    took: str
    reviewers: list[Progress]
    strata: list[Progress]
    more_strata: int
    verdicts: list[tuple[str, str, int]]
    lists: list[Chosen]
    items: list[ItemRow]
    first_items: str
    more_items: str
    may_close: bool
    may_reassign: bool
    commands: Mapping[str, str]
    longest: int
    said: Said | None
    typed: Mapping[str, str]
    unshown: str
    as_of_position: int


def item_filter(name: str, reviewer: str) -> ReviewItemFilter | None:
    """The conditions of one of the lists of items; None for a name that is none."""
    chosen = _ITEM_LISTS.get(name)
    if chosen is None:
        return None
    filter = chosen[1]
    return ReviewItemFilter(
        reviewer=reviewer or None,
        assigned=filter.assigned,
        decided=filter.decided,
        verdict=filter.verdict,
        mine=filter.mine,
    )


def review_page(
    found: ReviewDetail,
    page: ReviewItemPage,
    viewer: Viewer,
    chosen: tuple[str, str, int],
    result: FormResult | None = None,
) -> ReviewDetailPage:
    """The page of one review. `chosen`: the list of items, the reviewer, and the item before the first one."""
    review = found.review
    name, reviewer, after = chosen
    address = _Addresses(review.review_id)
    return ReviewDetailPage(
        viewer=viewer,
        title=review.name,
        link=links.review(review.review_id),
        purpose=review.purpose,
        kind=KINDS[review.kind],
        state=review_state(review),
        late=review.overdue,
        is_open=is_open(review),
        due=viewer.moment(review.due_at),
        begun=viewer.moment(review.begun_at),
        begun_by=review.begun_by,
        closed=None if review.closed_at is None else viewer.moment(review.closed_at),
        closed_by=review.closed_by or "",
        close_reason=review.close_reason or "",
        progress=_progress("All items", "", review.items, review.decided),
        without_reviewer=review.without_reviewer,
        without_link=address.of("unassigned"),
        own=f"{review.own_decided} of {review.own_items}" if review.own_items else "",
        about_you=found.items_about_you,
        tree_size=review.tree_size,
        root_hash=review.root_hash,
        seed=found.seed,
        filter=[(each, as_text(value)) for each, value in sorted((found.filter or {}).items())],
        hidden_filter=found.filter is None,
        period=[
            (text, viewer.moment(at))
            for text, at in (("From", found.period_from), ("Until", found.period_until))
            if at is not None
        ],
        drawn=f"{many(review.items, 'item')} of {many(found.candidates, 'candidate')}, {STRATA[found.strata_by]}",
        took=duration(timedelta(seconds=found.seconds)) if found.seconds else "",
        reviewers=[
            _progress(
                reviewer_of(each.reviewer, each.reviewer_name, viewer),
                address.of(USUAL, each.reviewer) if each.reviewer is not None else address.of("unassigned"),
                each.items,
                each.decided,
            )
            for each in found.reviewers
        ],
        strata=[_stratum(each) for each in found.strata] if found.strata_by is not Strata.NONE else [],
        more_strata=found.strata_count - len(found.strata),
        verdicts=[
            (each.verdict.value.replace("_", " "), address.of(each.verdict.value), each.items)
            for each in found.verdicts
        ],
        lists=[
            Chosen(text, address.of(key, reviewer), key == name) for key, (text, _) in _ITEM_LISTS.items()
        ],
        items=[_row(review.review_id, each, viewer) for each in page.items],
        first_items=address.of(name, reviewer) if after else "",
        more_items="" if page.next is None else address.of(name, reviewer, page.next),
        may_close=viewer.may(Operation.RUN_REVIEWS) and is_open(review),
        may_reassign=viewer.may(Operation.RUN_REVIEWS) and is_open(review),
        commands={form: str(uuid4()) for form in FORMS},
        longest=LONGEST,
        said=None if result is None else result.said,
        typed={} if result is None else result.typed,
        unshown="" if result is None else unshown_text(result.typed, FORMS if is_open(review) else ()),
        as_of_position=found.as_of_position,
    )


class _Addresses:
    """The lists of items of one review."""

    def __init__(self, review: str) -> None:
        self._review = review

    def of(self, name: str, reviewer: str | None = None, after: int = 0) -> str:
        cursor = encode_item_cursor(self._review, after) if after else None
        given = {"list": name, "reviewer": reviewer, "after": cursor}
        query = urlencode([(key, value) for key, value in given.items() if value])
        return f"{links.review(self._review)}?{query}#items"


def _progress(name: str, link: str, items: int, decided: int, candidates: int = 0) -> Progress:
    share = 100 * decided / items if items else 0.0
    return Progress(name=name, link=link, candidates=candidates, items=items, decided=decided, share=share)


def _stratum(each: StratumProgress) -> Progress:
    name = "not shown to you" if each.stratum is None else each.stratum or "none known"
    return _progress(name, "", each.items, each.decided, each.candidates)


def _row(review: str, item: ReviewItemView, viewer: Viewer) -> ItemRow:
    about, about_link = person(item.subject, viewer, "nobody, or not shown")
    return ItemRow(
        link=links.review_item(review, item.item),
        number=item.item,
        what=item.what or "not shown to you",
        about=about,
        about_link=about_link,
        stratum=item.stratum or "",
        reviewer=reviewer_of(item.reviewer, item.reviewer_name, viewer),
        decision=verdict_of(item),
        why=item.reason or "",
        serious=item.verdict in (ReviewVerdict.POLICY_BREACH, ReviewVerdict.REVOKE),
    )
