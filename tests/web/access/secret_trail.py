"""A trail in which every event has secrets of its own, and what each role may know of it."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote
from uuid import UUID

from msgspec.structs import replace

from domain.access.principal import Role
from domain.access.scope import Scope
from domain.catalogue import TRAIL_SERVICE
from domain.event import (
    Actor,
    ActorKind,
    AuditEvent,
    Change,
    Client,
    Device,
    Disclosure,
    Patient,
    Request,
    Resource,
    Source,
)
from domain.validation import encode_event
from tests.domain.access.knowing import WHOLE, somebody
from tests.hospital import at
from tests.tokens import bearer

BOB = Actor(id="secret-staff-bob", name="secret Bob Staffname", roles=("physician",))
OWN_RECORD = Patient(id="17", name="secret Paul Patientname")
OTHER = Patient(id="secret-patient-18", name="secret Olga Othername")


def _event(number: int, **fields: Any) -> AuditEvent:
    """Like `WHOLE`, with every text a secret of this event's own."""
    given = dict.fromkeys(("session", "correlation_id", "reason", "outcome_reason"))
    event = replace(
        WHOLE,
        event_id=UUID(int=0x5EC0 + number),
        occurred_at=at(number),
        source=Source(service="patient-service", instance=f"secret-pc-{number}", sequence=3),
        actor=Actor(id="secret-staff-ada", name="secret Ada Staffname", roles=("nurse",)),
        client=Client(address=f"10.9.9.{number}", user_agent=f"secret-browser-{number}"),
        device=None,
        patients=(),
        resources=(),
        changes=(),
        codes=(),
        disclosure=None,
        attributes={"note": f"secret-note-{number}", "department": "cardiology"},
        request=None,
        **{name: f"secret-{name}-{number}" for name in given},
    )
    return replace(event, **fields)


EVENTS = (
    _event(
        0, type="record.read", patients=(OWN_RECORD,), resources=(Resource(type="Observation", id="o-17"),)
    ),
    _event(
        1,
        type="record.read",
        actor=BOB,
        patients=(OTHER,),
        resources=(Resource(type="Observation", id="secret-o-18"),),
    ),
    _event(
        2,
        type="record.updated",
        patients=(OWN_RECORD, OTHER),
        resources=(Resource(type="Observation", id="secret-o-18"),),
        changes=(Change(path="phone", before="secret-before-2", after="secret-after-2"),),
        disclosure=Disclosure(recipient="secret-recipient-2"),
    ),
    _event(
        3,
        type="configuration.changed",
        source=Source(service="gateway"),
        actor=Actor(id="secret-staff-tina", name="secret Tina Technician"),
        device=Device(id="pump-1", name="Pump"),
        changes=(Change(path="limit", before="secret-before-3", after="secret-after-3"),),
    ),
    _event(
        4,
        type="service.restarted",
        source=Source(service="vitals", instance="vitals-a", sequence=1),
        actor=Actor(kind=ActorKind.SERVICE, id="vitals"),
    ),
    _event(
        5,
        type="record.read",
        actor=Actor(kind=ActorKind.PATIENT, id="17", name="secret Paul Patientname"),
        patients=(OWN_RECORD,),
        resources=(Resource(type="Observation", id="o-17"),),
    ),
    _event(6, type="user.logged_in"),
    _event(
        7,
        type="record.disclosed",
        actor=BOB,
        patients=(OWN_RECORD,),
        resources=(Resource(type="Observation", id="o-17"),),
        disclosure=Disclosure(recipient="secret-recipient-7", description="secret-description-7"),
    ),
    # Of whom a source knows only the name, the name is the id, and in the address.
    _event(
        8,
        type="record.read",
        patients=(Patient(id="secret Nora Nameid"),),
        resources=(Resource(type="Patient", id="secret Nora Nameid"),),
        request=Request(method="GET", path="/Patient/secret%20Nora%20Nameid", status=200),
    ),
    _event(
        9,
        type="view.saved",
        source=Source(service=TRAIL_SERVICE),
        resources=(Resource(type="SavedView", id=str(UUID(int=9))),),
        changes=(
            Change(path="name", after="secret-view-9"),
            Change(path="filter", after="patient=secret-asked-9"),
            Change(path="shared_with"),
        ),
    ),
)

VISIBLE: dict[Role, list[int]] = {
    **{
        role: list(range(10))
        for role in (
            *(Role.AUDITOR, Role.PRIVACY_OFFICER, Role.SECURITY_OFFICER),
            *(Role.REVIEWER, Role.ANALYST, Role.ADMIN),
        )
    },
    Role.SERVICE_OWNER: [0, 1, 2, 5, 6, 7, 8],
    Role.CLINICIAN: [0, 2, 6, 8, 9],
    Role.PATIENT: [0, 2, 5, 7],
    Role.DEVICE_MANAGER: [3, 4],
}
"""The positions that each role sees; the others see none."""
CLAIMS: dict[Role, dict[str, Any]] = {
    Role.SERVICE_OWNER: {"sources": ["patient-service"]},
    Role.CLINICIAN: {"subject": "secret-staff-ada"},
    Role.PATIENT: {"patient": "17"},
    Role.DEVICE_MANAGER: {"devices": ["pump-1"]},
}
_SECRET = re.compile(r"secret[A-Za-z0-9 _-]*[A-Za-z0-9]|10\.9\.9\.[0-9]")


def header(role: Role, **claims: Any) -> dict[str, str]:
    """The header of somebody with this role."""
    return bearer(role.value, **(CLAIMS.get(role, {}) | claims))


def secrets_in(text: str) -> set[str]:
    """Every secret that a text tells."""
    return set(_SECRET.findall(unquote(text)))


def knowable(role: Role) -> set[str]:
    """The secrets that somebody of this role may know."""
    own = {Role.CLINICIAN: {"actors": ("secret-staff-ada",)}}
    scope = Scope(somebody(role, **own.get(role, {})))
    texts = [encode_event(scope.redacted(EVENTS[number])).decode() for number in VISIBLE.get(role, ())]
    return secrets_in(" ".join(texts))


EVERY_SECRET = secrets_in(" ".join(encode_event(event).decode() for event in EVENTS))
