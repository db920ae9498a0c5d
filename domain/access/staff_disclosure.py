"""The decision whether a patient sees which members of staff accessed the record, as an event of the trail.

CJEU C-579/21: a patient has no right to the names of staff, unless they are indispensable for the patient's rights. A
person decides that for one patient, with a reason and for a limited time.
"""

from __future__ import annotations

from datetime import datetime
from uuid import uuid4

import msgspec
from msgspec import Struct

from domain.access.principal import Principal
from domain.catalogue import TRAIL_SERVICE
from domain.event import Action, AuditEvent, Patient, Source

DECIDED = "staff_disclosure.decided"


class Decision(Struct, frozen=True):
    """Whether the patient sees staff, and `until` when; None means until the next decision."""

    names: bool
    until: datetime | None = None

    def holds(self, now: datetime) -> bool:
        """Whether the decision is in effect at `now`."""
        return self.names and (self.until is None or now < self.until)


def decision_event(
    patient: str, decision: Decision, *, by: Principal, reason: str, at: datetime, source: Source
) -> AuditEvent:
    """The event that records the decision. `source` is the trail's own."""
    until = None if decision.until is None else decision.until.isoformat()
    return AuditEvent(
        event_id=uuid4(),
        type=DECIDED,
        occurred_at=at,
        source=source,
        actor=by.actor,
        action=Action.EXECUTE,
        patients=(Patient(id=patient),),
        reason=reason,
        session=by.session,
        attributes={"names": decision.names, "until": until},
    )


def decision_of(event: AuditEvent) -> Decision | None:
    """The decision that an event records; None for any other event, or when the source is not the trail itself."""
    if event.type != DECIDED or event.source.service != TRAIL_SERVICE:
        return None
    given = {name: event.attributes.get(name) for name in ("names", "until")}
    try:
        decision = msgspec.convert(given, Decision)
    except msgspec.ValidationError:
        return Decision(names=False)  # an unreadable decision discloses nothing
    if decision.until is not None and decision.until.utcoffset() is None:
        return Decision(names=False)
    return decision
