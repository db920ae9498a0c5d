"""A request of an operator, made on a page and carried out by the part that has the right to: see ADR 27."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from domain.catalogue import TRAIL_SERVICE
from domain.event import Action, Actor, ActorKind, AuditEvent, Outcome, Resource, Source

MAX_REASON = 1000
"""Characters of a reason."""
PROJECTION, DEAD_LETTER = "Projection", "DeadLetter"
"""The resource types of what a request is about."""


class Kind(StrEnum):
    """What is asked for. The values are stored and part of events; never rename one."""

    REBUILD = "rebuild"
    REQUEUE = "requeue"
    DISMISS = "dismiss"

    @property
    def part(self) -> str:
        """The part that carries it out."""
        return "project" if self is Kind.REBUILD else "ingest"


class State(StrEnum):
    """How far a request is. `DONE` and `FAILED` are final."""

    REQUESTED = "requested"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class OperationRequest(Struct, frozen=True, kw_only=True):
    """A stored request. `target` is the name of a projection or the id of a dead letter.

    `login` is the database's, through which it was stored: `serve` names the requester, and the database can't check
    that. `progress` says what is being done, or why it has to wait. `result` is its end in words; None before.
    """

    id: int
    event_id: UUID
    outcome_id: UUID
    kind: Kind
    target: str
    reason: str
    requester: Actor
    session: str | None
    login: str
    requested_at: datetime
    state: State
    attempts: int
    progress: str
    result: str | None
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.finished_at is None

    @property
    def by(self) -> str:
        """The person who asked, as a decision on a dead letter names them."""
        return self.requester.id or ActorKind.UNKNOWN.value


def requested_event(request: OperationRequest) -> AuditEvent:
    """`operation.requested`. The same request gives the same event, so it can be published again."""
    return _event(request, "operation.requested", request.event_id, request.requested_at, {})


def completed_event(request: OperationRequest) -> AuditEvent:
    """`operation.completed`: the end of a request, done or failed. The actor is the person who asked."""
    assert request.finished_at is not None
    failed = request.state is State.FAILED
    return replace(
        _event(
            request,
            "operation.completed",
            request.outcome_id,
            request.finished_at,
            {"result": request.result, "attempts": request.attempts, "carried_out_by": request.kind.part},
        ),
        outcome=Outcome.SERIOUS_FAILURE if failed else Outcome.SUCCESS,
        outcome_reason=request.result if failed else None,
    )


def _event(
    request: OperationRequest, type: str, id: UUID, at: datetime, attributes: dict[str, object]
) -> AuditEvent:
    about = PROJECTION if request.kind is Kind.REBUILD else DEAD_LETTER
    return AuditEvent(
        event_id=id,
        type=type,
        occurred_at=at,
        source=Source(service=TRAIL_SERVICE),
        actor=request.requester,
        action=Action.EXECUTE,
        session=request.session,
        resources=(Resource(type=about, id=request.target),),
        reason=request.reason,
        attributes={
            "operation": request.kind.value,
            "request": request.id,
            "login": request.login,
            **attributes,
        },
    )
