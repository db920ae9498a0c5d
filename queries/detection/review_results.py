"""Results of queries about reviews. Times are aware, and ids are text."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from msgspec import Struct

from domain.event import RecordedEvent
from domain.reviews.commands import ReviewKind, ReviewVerdict, Strata
from queries.detection.results import Place

MAX_STRATA = 100
"""Strata of one review that an answer shows."""


class ReviewState(StrEnum):
    """Whether a review goes on."""

    OPEN = "open"
    CLOSED = "closed"


class ReviewReader(NamedTuple):
    """Who reads reviews. `ids` are the ids of the person in events.

    `only_own`: of a review only the person's own items exist, and a review without any does not exist. Items about the
    person exist for nobody with these ids.
    """

    ids: tuple[str, ...] = ()
    only_own: bool = False


EVERYTHING = ReviewReader()


class ReviewFilter(Struct, frozen=True, kw_only=True):
    """Conditions on reviews that must all hold. `overdue`: open, and the trail has noticed that the due date passed.

    `mine`: the reader has items in it.
    """

    state: ReviewState | None = None
    kind: ReviewKind | None = None
    overdue: bool | None = None
    mine: bool | None = None


class ReviewView(Struct, frozen=True, kw_only=True):
    """A review. `items`, `decided` and `without_reviewer` count the items of the whole review.

    `own_items` and `own_decided` are those of the reader. `overdue_at`: when the trail noticed that the due date had
    passed with items undecided. `tree_size` and `root_hash` are the signed tree that it was drawn from. `position` is
    that of its newest event.
    """

    review_id: str
    name: str
    purpose: str
    kind: ReviewKind
    state: ReviewState
    begun_position: int
    begun_at: datetime
    begun_by: str
    due_at: datetime
    overdue_at: datetime | None
    items: int
    decided: int
    without_reviewer: int
    own_items: int
    own_decided: int
    tree_size: int
    root_hash: str
    closed_at: datetime | None
    closed_by: str | None
    close_reason: str | None
    position: int
    changed_at: datetime

    @property
    def overdue(self) -> bool:
        """Whether it is open, and the due date has passed."""
        return self.state is ReviewState.OPEN and self.overdue_at is not None


class ReviewPage(Struct, frozen=True):
    """Reviews, the newest first. `next` is where the list continues; None at its end.

    A page may be short, even empty, and not be the last.
    """

    reviews: list[ReviewView]
    as_of_position: int
    next: Place | None


class ReviewerProgress(Struct, frozen=True, kw_only=True):
    """The items of one reviewer; null `reviewer`: items that nobody has."""

    reviewer: str | None
    reviewer_name: str | None
    items: int
    decided: int


class StratumProgress(Struct, frozen=True, kw_only=True):
    """One stratum: how many candidates it had, and its items. `stratum` is empty without strata, null if hidden."""

    stratum: str | None
    candidates: int
    items: int
    decided: int


class VerdictCount(Struct, frozen=True, kw_only=True):
    """How many items have a verdict."""

    verdict: ReviewVerdict
    items: int


class ReviewDetail(Struct, frozen=True, kw_only=True):
    """A review with how it was drawn, and the numbers of the items that the reader may see.

    `filter` has the conditions of events, null if they would tell what is hidden from the reader. The positions from
    `first_position` until before `end_position` were looked at, and `candidates` matched. `strata` are the 100 with the
    most items, of `strata_count`. `seconds` is the time that the looks took, as far as it was measured. The reader
    never sees the `items_about_you`.
    """

    review: ReviewView
    filter: dict[str, Any] | None
    period_from: datetime | None
    period_until: datetime | None
    dormant_days: int
    sample_size: int
    strata_by: Strata
    seed: str
    first_position: int
    end_position: int
    staff_version: int | None
    candidates: int
    reviewers: list[ReviewerProgress]
    strata: list[StratumProgress]
    strata_count: int
    verdicts: list[VerdictCount]
    seconds: int
    items_about_you: int
    as_of_position: int


class ReviewItemFilter(Struct, frozen=True, kw_only=True):
    """Conditions on the items of a review that must all hold. `assigned`: whether somebody is its reviewer."""

    reviewer: str | None = None
    assigned: bool | None = None
    decided: bool | None = None
    verdict: ReviewVerdict | None = None
    mine: bool | None = None


class ReviewItemView(Struct, frozen=True, kw_only=True):
    """An item of a review. `what` says in words what is looked at, and `positions` are its events.

    `subject` is the id of the person or service that it is about. `stratum`, `subject` and `what` are null when they
    would tell what is hidden from the reader. `mine`: the reader is its reviewer. The last one of its `decisions`
    counts.
    """

    item: int
    stratum: str | None
    subject: str | None
    what: str | None
    positions: list[int]
    reviewer: str | None
    reviewer_name: str | None
    mine: bool
    verdict: ReviewVerdict | None
    reason: str | None
    seconds: int | None
    decided_by: str | None
    decided_at: datetime | None
    decisions: int


class ReviewItemPage(Struct, frozen=True):
    """Items of a review, by number. `next` is the number after which the list continues; None at its end."""

    items: list[ReviewItemView]
    as_of_position: int
    next: int | None


class ReviewItemDetail(Struct, frozen=True, kw_only=True):
    """An item with its events, as far as the reader may see them, the oldest first."""

    item: ReviewItemView
    events: list[RecordedEvent]
    as_of_position: int
