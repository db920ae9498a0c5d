"""Who may give which command about a review.

An officer begins, reassigns and closes. The reviewer of an item decides it. Nobody decides an item about themselves, or
who its reviewer is.
"""

from __future__ import annotations

from domain.access.grants import Operation
from domain.access.principal import Principal, Role
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


def require_reassignment(principal: Principal, *, subject: str | None) -> None:
    """Raise `AccessDeniedError` when the item is about the principal."""
    if is_person(principal, subject):
        raise AccessDeniedError(Operation.RUN_REVIEWS)


def sees_only_own_items(scope: Scope) -> bool:
    """Whether the principal sees of a review the own items alone: a reviewer without another role that reads cases."""
    return {grant.role for grant in scope.grants(Operation.READ_CASES)} == {Role.REVIEWER}


def _needed(body: ReviewBody) -> Operation:
    return Operation.DECIDE_CASES if isinstance(body, DecideItem) else Operation.RUN_REVIEWS
