"""A question about an access: somebody does not recognise what an event says of them or of their record.

45 CFR 164.530(d) (complaints); GDPR, article 15.
"""

from __future__ import annotations

from datetime import datetime
from uuid import uuid4

from domain.access.principal import Principal
from domain.event import Action, AuditEvent, Patient, RecordedEvent, Resource, Source

QUESTIONED = "access.questioned"
EVENT = "AuditEvent"
"""The resource type of the event in question."""
MAX_TEXT = 2000
"""Characters of a question."""


def question_event(
    about: RecordedEvent, text: str, *, by: Principal, at: datetime, source: Source
) -> AuditEvent:
    """The question as an event about the same patients, as far as the person sees them."""
    event = about.event
    return AuditEvent(
        event_id=uuid4(),
        type=QUESTIONED,
        occurred_at=at,
        source=source,
        actor=by.actor,
        action=Action.EXECUTE,
        session=by.session,
        patients=tuple(Patient(id=each.id) for each in event.patients),
        resources=(Resource(type=EVENT, id=str(event.event_id)),),
        reason=text,
        attributes={"via": "dashboard", "position": about.position},
    )
