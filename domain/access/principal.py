"""Who asks."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from domain.event import ActorKind


class Role(StrEnum):
    """What somebody is to the trail. `docs/reference/access.md` has the table of what each may do and see."""

    AUDITOR = "auditor"
    PRIVACY_OFFICER = "privacy_officer"
    SECURITY_OFFICER = "security_officer"
    ANALYST = "analyst"
    SERVICE_OWNER = "service_owner"
    CLINICIAN = "clinician"
    PATIENT = "patient"
    DEVICE_MANAGER = "device_manager"
    PUBLISHER = "publisher"
    OPERATOR = "operator"
    ADMIN = "admin"


class Principal(Struct, frozen=True, kw_only=True):
    """Somebody whose credentials were checked, and what these say of them.

    `actors` are the ids under which events name this principal as the actor, `patients` the records that are the
    principal's own, `sources` the services that a service owner answers for and that a publisher reports as, `devices`
    those in a device manager's care. An empty one grants nothing, but to a publisher: it may report as any service.
    `session` ties the records of this principal's reads together, and is never the token itself.
    """

    id: str
    roles: frozenset[Role]
    kind: ActorKind = ActorKind.USER
    name: str | None = None
    issuer: str | None = None
    session: str | None = None
    client_id: str | None = None
    actors: tuple[str, ...] = ()
    patients: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    purpose_of_use: tuple[str, ...] = ()
    expires_at: datetime | None = None
