"""The decision that a patient sees which of the staff dealt with the record, as an event of the trail.

CJEU C-579/21 leaves the names of staff out of what a patient is told, unless they are indispensable for the patient's
rights: that is weighed for each patient, by somebody, for a reason, and for a time.
"""

from __future__ import annotations

from datetime import datetime
from uuid import uuid4

import msgspec
from msgspec import Struct

from domain.access.principal import Principal
from domain.event import Action, Actor, AuditEvent, Patient, Source

DECIDED = "staff_disclosure.decided"
SERVICE = "audit-trail"
"""Decisions count only when the trail itself reports them: nobody else may publish events of its category."""


class Decision(Struct, frozen=True):
    """Whether the patient sees staff, `until` when; None is until another decision."""

    names: bool
    until: datetime | None = None

    def holds(self, now: datetime) -> bool:
        """Whether staff is shown at `now`."""
        return self.names and (self.until is None or now < self.until)


def decision_event(
    patient: str, decision: Decision, *, by: Principal, reason: str, at: datetime, source: Source
) -> AuditEvent:
    """The event that says so. `source` is the trail's own."""
    until = None if decision.until is None else decision.until.isoformat()
    return AuditEvent(
        event_id=uuid4(),
        type=DECIDED,
        occurred_at=at,
        source=source,
        actor=Actor(
            kind=by.kind, id=by.id, name=by.name, roles=tuple(role.value for role in sorted(by.roles))
        ),
        action=Action.EXECUTE,
        patients=(Patient(id=patient),),
        reason=reason,
        session=by.session,
        attributes={"names": decision.names, "until": until},
    )


def decision_of(event: AuditEvent) -> Decision | None:
    """What an event decides; None when it is no such decision, or not one of the trail's own."""
    if event.type != DECIDED or event.source.service != SERVICE:
        return None
    given = {name: event.attributes.get(name) for name in ("names", "until")}
    try:
        decision = msgspec.convert(given, Decision)
    except msgspec.ValidationError:
        return Decision(names=False)  # what can't be understood shows nothing
    if decision.until is not None and decision.until.utcoffset() is None:
        return Decision(names=False)
    return decision
