"""The authenticated client."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from domain.event import Actor, ActorKind


class Role(StrEnum):
    """A role in the trail. `docs/reference/access.md` has the table of operations and visible parts."""

    AUDITOR = "auditor"
    PRIVACY_OFFICER = "privacy_officer"
    SECURITY_OFFICER = "security_officer"
    REVIEWER = "reviewer"
    ANALYST = "analyst"
    SERVICE_OWNER = "service_owner"
    CLINICIAN = "clinician"
    PATIENT = "patient"
    DEVICE_MANAGER = "device_manager"
    PUBLISHER = "publisher"
    OPERATOR = "operator"
    ADMIN = "admin"


class LinkUse(Struct, frozen=True):
    """The shared link by which a principal reads: its id, and the id of its maker."""

    id: str
    maker: str


class Principal(Struct, frozen=True, kw_only=True):
    """An authenticated client, with the claims of its credentials.

    `actors` are the actor ids of this principal in events. `patients` are the principal's own records. `sources` are
    the services that a service owner answers for, or that a publisher reports as. `devices` are those in a device
    manager's care. An empty field grants nothing, with one exception: a publisher without `sources` may report as any
    service. `session` correlates the access records of one principal; it is never the token itself.
    `link` is set for the reader of a shared link, who has not authenticated: see `domain.access.shared_link`.
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
    link: LinkUse | None = None

    @property
    def actor(self) -> Actor:
        """The principal as the actor of an event that it causes."""
        roles = tuple(role.value for role in sorted(self.roles))
        return Actor(kind=self.kind, id=self.id, name=self.name, roles=roles)
