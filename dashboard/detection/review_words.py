"""Words that the pages about reviews share."""

from __future__ import annotations

from dashboard.viewer import Viewer
from domain.reviews.commands import ReviewKind, ReviewVerdict, Strata
from queries.detection.review_results import ReviewItemView, ReviewState, ReviewView

KINDS = {
    ReviewKind.EVENTS: "accesses and other events",
    ReviewKind.BREAK_GLASS: "uses of emergency access",
    ReviewKind.GRANTS: "roles that people have",
    ReviewKind.DORMANT: "accounts that nobody uses",
}
STRATA = {
    Strata.NONE: "not divided",
    Strata.ACTOR: "divided by person or service",
    Strata.DEPARTMENT: "divided by department",
    Strata.TYPE: "divided by type of event",
}
VERDICTS = {
    ReviewVerdict.JUSTIFIED: "Justified: there was a reason for it",
    ReviewVerdict.POLICY_BREACH: "Policy breach: there was none",
    ReviewVerdict.REVOKE: "Revoke: take the role or account away",
    ReviewVerdict.UNCLEAR: "Unclear: it can't be decided",
}
_OF_ACCESS = frozenset({ReviewKind.GRANTS, ReviewKind.DORMANT})
"""The kinds of reviews in which something can be revoked."""


def verdicts_of(kind: ReviewKind) -> list[tuple[str, str]]:
    """The verdicts of a review of this kind, each with its words."""
    return [
        (value.value, text)
        for value, text in VERDICTS.items()
        if value is not ReviewVerdict.REVOKE or kind in _OF_ACCESS
    ]


def review_state(review: ReviewView) -> str:
    """How far a review is, in words."""
    return "overdue" if review.overdue else review.state.value


def is_open(review: ReviewView) -> bool:
    """Whether its items can be decided."""
    return review.state is ReviewState.OPEN


def verdict_of(item: ReviewItemView) -> str:
    """What was decided about an item, in words."""
    return "not decided" if item.verdict is None else item.verdict.value.replace("_", " ")


def reviewer_of(id: str | None, name: str | None, viewer: Viewer) -> str:
    """The reviewer of an item, in words."""
    if id is None:
        return "nobody: all reviewers are its subject"
    return "you" if id in {viewer.principal.id, *viewer.principal.actors} else name or id
