"""The event that says that an employee was asked about a case. It does not say what, or about whom."""

from __future__ import annotations

from uuid import UUID, uuid5

from domain.cases.commands import AskEmployee, CaseCommand, Person
from domain.catalogue import CASE, EMPLOYEE_ASKED, TRAIL_SERVICE
from domain.event import Actor, AuditEvent, Resource, Source

TYPE = EMPLOYEE_ASKED
EMPLOYEE = "Employee"
"""The resource type of the person asked."""
_NAMESPACE = UUID("5e0c9d6b-7c0f-5f5e-9a43-2d7d8f6b1e0a")


def asked_event(command: CaseCommand, body: AskEmployee) -> AuditEvent:
    """The event of a command. The same command gives the same event, so it can be published again."""
    return AuditEvent(
        event_id=uuid5(_NAMESPACE, str(command.id)),
        type=TYPE,
        occurred_at=command.requested_at,
        source=Source(service=TRAIL_SERVICE),
        actor=_actor(command.person),
        resources=(
            Resource(type=CASE, id=str(command.target)),
            Resource(type=EMPLOYEE, id=body.employee.id),
        ),
    )


def employee_of(event: AuditEvent) -> str | None:
    """The id of the person asked; None for any other event, or when it is not the trail's own."""
    if event.type != TYPE or event.source.service != TRAIL_SERVICE:
        return None
    return next((each.id for each in event.resources if each.type == EMPLOYEE), None)


def _actor(person: Person) -> Actor:
    return Actor(kind=person.kind, id=person.id, name=person.name)
