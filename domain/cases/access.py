"""Who may give which command about a case or a suppression.

A role allows the kind of a command. Beside the role, nobody decides about themselves, and only the employee asked
answers a question.
"""

from __future__ import annotations

from domain.access.grants import ALERTS_OF_OTHERS, Operation
from domain.access.principal import Principal
from domain.access.scope import Scope
from domain.cases.commands import (
    AnswerQuestion,
    AskEmployee,
    Assign,
    Body,
    Comment,
    Decide,
    EndSuppression,
    OpenCase,
    Person,
    Reopen,
    Suppress,
)
from domain.errors import AccessDeniedError
from domain.event import PERSONS

_NEEDED: dict[type[Body], Operation] = {
    OpenCase: Operation.HANDLE_CASES,
    Assign: Operation.HANDLE_CASES,
    Comment: Operation.HANDLE_CASES,
    AskEmployee: Operation.HANDLE_CASES,
    Decide: Operation.DECIDE_CASES,
    Reopen: Operation.DECIDE_CASES,
    Suppress: Operation.SUPPRESS_ALERTS,
    EndSuppression: Operation.SUPPRESS_ALERTS,
}
_BY_OTHERS = (OpenCase, Assign, Comment, AskEmployee, Decide, Reopen)
"""Nobody gives these commands about a case of their own: an employee answers, and does not review themselves."""
ACTOR = "actor.id"
"""The name in an alert's group that stands for the actor."""


def require_role(principal: Principal, body: Body) -> None:
    """Raise `AccessDeniedError` unless a role of the principal allows this kind of command.

    An answer needs no role: `require_command` compares the principal with the employee asked.
    """
    operation = _NEEDED.get(type(body))
    if operation is not None:
        Scope(principal).require(operation)
    elif principal.link is not None:
        raise AccessDeniedError
    # A rule may give the actor of its groups another name.
    if isinstance(body, Suppress) and any(is_person(principal, each) for each in body.match.values()):
        raise AccessDeniedError(Operation.SUPPRESS_ALERTS)


def require_command(
    principal: Principal, body: Body, *, actor: str | None, asked: Person | None = None
) -> None:
    """Raise `AccessDeniedError` unless the principal may give the command about a case.

    `actor` is the id of the person or service that the case is about, `asked` the employee of its open question.
    """
    require_role(principal, body)
    if isinstance(body, AnswerQuestion):
        if not may_answer(principal, asked):
            raise AccessDeniedError
    elif isinstance(body, _BY_OTHERS) and is_person(principal, actor):
        raise AccessDeniedError(_NEEDED[type(body)])


def may_answer(principal: Principal, asked: Person | None) -> bool:
    """Whether the principal is the employee asked, who then sees the question and nothing else of the case."""
    if principal.link is not None or asked is None or principal.kind is not asked.kind:
        return False
    return is_person(principal, asked.id)


def is_person(principal: Principal, id: str | None) -> bool:
    """Whether `id` is an id of the principal in events; a service with the same id is somebody else."""
    return principal.kind in PERSONS and id is not None and id in {principal.id, *principal.actors}


def own_ids(principal: Principal) -> tuple[str, ...]:
    """The ids that a person has in events; none for a program, or the reader of a shared link."""
    if principal.kind not in PERSONS or principal.link is not None:
        return ()
    return tuple(dict.fromkeys(id for id in (principal.id, *principal.actors) if id))


def unseen_actors(scope: Scope) -> tuple[str, ...]:
    """The actors about whom the principal sees no alert and no case: a reviewer, about themselves."""
    roles = {grant.role for grant in scope.grants(Operation.READ_CASES)}
    return own_ids(scope.principal) if roles and roles <= ALERTS_OF_OTHERS else ()
