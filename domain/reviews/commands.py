"""The commands about reviews. `serve` or the command line stores them, and `ingest` carries them out."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta

from domain.cases.commands import (
    MAX_SECONDS,
    CommandBody,
    GivenCommand,
    Person,
    Title,
    checked,
    decoder,
)
from domain.errors import InvalidEventError, Reason
from domain.event import Text, Timestamp

MAX_ITEMS = 10_000
"""Items of one review: what people can look at, and what one aggregate holds."""
MAX_REVIEWERS = 100
SEED = "^([0-9a-f]{2}){8,64}$"


class ReviewKind(StrEnum):
    """What a review looks at. The values are stored; never rename one."""

    EVENTS = "events"
    """A sample of the events that match a filter."""
    BREAK_GLASS = "break_glass"
    """The uses of emergency access in the period."""
    GRANTS = "grants"
    """The roles that people have, with the last use."""
    DORMANT = "dormant"
    """Accounts with a role that nobody has used for a time, or whose owner has left."""


class Strata(StrEnum):
    """What the population is divided by before the sample is drawn. The values are stored; never rename one."""

    NONE = "none"
    ACTOR = "actor"
    DEPARTMENT = "department"
    TYPE = "type"


class ReviewVerdict(StrEnum):
    """What a reviewer decided about an item. The values are stored; never rename one."""

    JUSTIFIED = "justified"
    POLICY_BREACH = "policy_breach"
    REVOKE = "revoke"
    """The role or account is to be taken away."""
    UNCLEAR = "unclear"


class BeginReview(CommandBody, frozen=True, tag="begin_review"):
    """Begin a review, and draw its work list.

    The period is that of recording, `period_until` exclusive. `filter` has the conditions of events by their names in
    REST. `dormant_days`: without use for that long, an account is dormant. `seed` (hexadecimal) decides what is drawn;
    by default it follows from the root hash of the log and the id of the review.
    """

    name: Title
    purpose: Text
    reviewed: ReviewKind
    reviewers: Annotated[tuple[Person, ...], Meta(min_length=1, max_length=MAX_REVIEWERS)]
    due_at: Timestamp
    sample_size: Annotated[int, Meta(ge=1, le=MAX_ITEMS)]
    strata: Strata = Strata.NONE
    period_from: Timestamp | None = None
    period_until: Timestamp | None = None
    filter: dict[str, Any] = {}  # noqa: RUF012 - a struct copies it
    dormant_days: Annotated[int, Meta(ge=1, le=3660)] = 90
    seed: Annotated[str, Meta(pattern=SEED)] | None = None


Item = Annotated[int, Meta(ge=1, le=MAX_ITEMS)]


class DecideItem(CommandBody, frozen=True, tag="decide_review_item"):
    """Decide one item, or correct a decision. `seconds` is how long the look took, if it was measured."""

    item: Item
    verdict: ReviewVerdict
    reason: Text
    seconds: Annotated[int, Meta(ge=0, le=MAX_SECONDS)] | None = None


class ReassignItem(CommandBody, frozen=True, tag="reassign_review_item"):
    """Give an item to another reviewer."""

    item: Item
    reviewer: Person
    reason: Text


class CloseReview(CommandBody, frozen=True, tag="close_review"):
    """End a review. Items that are not decided stay so, and are counted."""

    reason: Text


ReviewBody = BeginReview | DecideItem | ReassignItem | CloseReview
REVIEW_KINDS = ("begin_review", "decide_review_item", "reassign_review_item", "close_review")
_decode = decoder(ReviewBody)


class ReviewCommand(GivenCommand, frozen=True, kw_only=True):
    """A command about a review. `target` is the id of the review."""

    body: ReviewBody


def decode_review_body(text: bytes) -> ReviewBody:
    """The body in JSON. Raises `InvalidEventError` that names the field at fault and says what to change."""
    return check_review_body(_decode(text))


def check_review_body(body: ReviewBody) -> ReviewBody:
    """Return `body` if it can be stored and says something. Raises `InvalidEventError`."""
    checked(body)
    if isinstance(body, BeginReview):
        _check_begin(body)
    return body


def _check_begin(body: BeginReview) -> None:
    begins, ends = body.period_from, body.period_until
    if begins is not None and ends is not None and ends <= begins:
        raise _wrong("period_until", "give a time after the beginning of the period")
    if body.filter and body.reviewed is not ReviewKind.EVENTS:
        raise _wrong("filter", f"a review of {body.reviewed.value} takes no filter: leave it out")
    if begins is not None and body.reviewed in (ReviewKind.GRANTS, ReviewKind.DORMANT):
        raise _wrong("period_from", "grants are those of now, whenever they were made: leave the period out")
    if len({each.id for each in body.reviewers}) != len(body.reviewers):
        raise _wrong("reviewers", "name each reviewer once")


def _wrong(field: str, message: str) -> InvalidEventError:
    return InvalidEventError(Reason.INVALID_FIELD, message, field=field)
