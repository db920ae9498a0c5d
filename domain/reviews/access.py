"""Who may give which command about a review.

An officer begins, reassigns and closes. The reviewer of an item decides it. Nobody decides about themselves.
"""

from __future__ import annotations

from domain.access.grants import Operation
from domain.access.principal import Principal
from domain.access.scope import Scope
from domain.cases.access import is_person
from domain.errors import AccessDeniedError
from domain.reviews.commands import DecideItem, ReviewBody


def require_review_role(principal: Principal, body: ReviewBody) -> None:
    """Raise `AccessDeniedError` unless a role of the principal allows this kind of command."""
    Scope(principal).require(_needed(body))


def require_decision(principal: Principal, *, reviewer: str | None, subject: str | None) -> None:
    """Raise `AccessDeniedError` unless the principal is the reviewer of the item, and not its subject."""
    if is_person(principal, subject) or not is_person(principal, reviewer):
        raise AccessDeniedError(Operation.DECIDE_CASES)


def _needed(body: ReviewBody) -> Operation:
    return Operation.DECIDE_CASES if isinstance(body, DecideItem) else Operation.RUN_REVIEWS
