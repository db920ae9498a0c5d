"""Principals of every role, and an event that says everything, each secret in words of its own."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from domain.access.grants import Part
from domain.access.principal import Principal, Role
from domain.event import (
    Action,
    Actor,
    ActorKind,
    AuditEvent,
    Change,
    Client,
    Coding,
    Device,
    Disclosure,
    Outcome,
    Patient,
    Request,
    Resource,
    Source,
)
from tests.hospital import at

OWN: dict[Role, dict[str, Any]] = {
    Role.SERVICE_OWNER: {"sources": ("patient-service",)},
    Role.CLINICIAN: {"actors": ("ada",)},
    Role.PATIENT: {"patients": ("17",)},
    Role.DEVICE_MANAGER: {"devices": ("pump-1",)},
}
"""What binds a principal of the role to records of its own."""

SECRETS: dict[Part, frozenset[str]] = {
    Part.PATIENT_NAMES: frozenset({"Paul Patientname", "Olga Othername"}),
    Part.OTHER_PATIENTS: frozenset({"other-patient-18", "Olga Othername", "other-observation-7", "pump-of-18"}),
    Part.STAFF_NAMES: frozenset({"Ada Staffname"}),
    Part.STAFF_IDS: frozenset({"staff-id-ada", "on-behalf-of-bob", "session-of-ada", "correlation-c", "ward-pc-9"}),
    Part.CLIENT: frozenset({"10.0.0.99", "Browser of Ada", "/records/path-secret"}),
    Part.FREE_TEXT: frozenset({
        "reason in words", "outcome in words", "code in words", "attribute in words", "path-secret",
    }),
    Part.VALUES: frozenset({"value before", "value after"}),
    Part.DISCLOSURE: frozenset({"Recipient Insurance", "described in words", "recipient street"}),
}  # fmt: skip
"""What of `WHOLE` each part hides."""

WHOLE = AuditEvent(
    event_id=UUID(int=1),
    type="record.updated",
    occurred_at=at(0),
    source=Source(service="patient-service", site="site", instance="ward-pc-9"),
    actor=Actor(id="staff-id-ada", name="Ada Staffname", roles=("nurse",), on_behalf_of="on-behalf-of-bob"),
    action=Action.UPDATE,
    outcome=Outcome.SUCCESS,
    outcome_reason="outcome in words",
    session="session-of-ada",
    client=Client(address="10.0.0.99", user_agent="Browser of Ada"),
    patients=(
        Patient(id="17", name="Paul Patientname"),
        Patient(id="other-patient-18", name="Olga Othername"),
    ),
    device=Device(id="pump-of-18", name="pump-of-18"),
    resources=(Resource(type="Observation", id="other-observation-7"),),
    changes=(Change(path="phone", before="value before", after="value after"),),
    purpose_of_use=("TREAT",),
    reason="reason in words",
    correlation_id="correlation-c",
    request=Request(method="GET", path="/records/path-secret", status=200),
    disclosure=Disclosure(
        recipient="Recipient Insurance",
        recipient_address="recipient street",
        description="described in words",
    ),
    codes=(Coding(code="c-1", display="code in words"),),
    attributes={"note": "attribute in words", "department": "cardiology"},
)


def somebody(role: Role, **fields: Any) -> Principal:
    """A principal of one role, bound to records of its own where the role wants that."""
    return Principal(
        id=f"a-{role.value}", roles=frozenset({role}), kind=ActorKind.USER, **(OWN.get(role, {}) | fields)
    )
