"""Findings as events of the trail.

Each event is made of the stored finding alone, so that publishing it again gives the same event under the same id.
"""

from __future__ import annotations

from domain.catalogue import TRAIL_SERVICE
from domain.event import Actor, ActorKind, AuditEvent, Outcome, Resource, Source
from event_store.integrity_findings import Certainty, StoredFinding

_GUARD = Actor(kind=ActorKind.SERVICE, id=f"{TRAIL_SERVICE}-guard")


def found_event(finding: StoredFinding) -> AuditEvent:
    """The event of a new finding: `integrity_check.failed` for a fact, `integrity_check.unconfirmed` for a claim."""
    fact = finding.certainty is Certainty.FACT
    return AuditEvent(
        event_id=finding.event_id,
        type="integrity_check.failed" if fact else "integrity_check.unconfirmed",
        occurred_at=finding.first_seen,
        source=Source(service=TRAIL_SERVICE),
        actor=_GUARD,
        outcome=Outcome.MAJOR_FAILURE if fact else Outcome.MINOR_FAILURE,
        outcome_reason=finding.what,
        attributes={
            **_named(finding),
            "certainty": finding.certainty.value,
            "position": finding.position,
            "log_size": finding.log_size,
        },
    )


def ended_event(finding: StoredFinding) -> AuditEvent:
    """The event of a closed finding: `integrity_check.answered` by an operator, else `integrity_check.recovered`."""
    by = finding.closed_by
    assert finding.closed_at is not None
    return AuditEvent(
        event_id=finding.answer_id,
        type="integrity_check.recovered" if by is None else "integrity_check.answered",
        occurred_at=finding.closed_at,
        source=Source(service=TRAIL_SERVICE),
        actor=_GUARD if by is None else Actor(kind=ActorKind.USER, id=by),
        reason=finding.close_reason,
        resources=(Resource(type="AuditEvent", id=str(finding.event_id)),),
        attributes={**_named(finding), "answers": str(finding.event_id)},
    )


def _named(finding: StoredFinding) -> dict[str, object]:
    return {"finding": finding.id, "check": finding.check.value, "place": finding.place}
