"""The audit event: an immutable fact about who did what, to whom, when, why and with what outcome.

Field names follow FHIR AuditEvent where it has the field. The struct is also the published schema: `docs/reference`
contains the JSON Schema that msgspec generates from it.

`gc=False`: decoded events contain no reference cycles, so the garbage collector need not walk a batch of thousands.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta, Struct, field

SCHEMA_VERSION = 1

MAX_IDENTIFIER = 256
Identifier = Annotated[str, Meta(min_length=1, max_length=MAX_IDENTIFIER)]
"""An id, or a reference such as ``Practitioner/17``. Never empty, so that every index entry has a value.

256 characters are at most 1,024 bytes. A B-tree key (2,704 bytes) holds two of them and a position, but not three. So
the key of a read model has at most two.
"""
Name = Annotated[str, Meta(max_length=1024)]
Text = Annotated[str, Meta(max_length=65536)]
Sequence = Annotated[int, Meta(ge=1, le=2**53 - 1)]
"""The number of an event; every JSON parser keeps integers up to 2^53 - 1 exactly (RFC 8259, section 6)."""
Timestamp = Annotated[datetime, Meta(tz=True)]
"""RFC 3339 with an offset; a naive time is rejected, because it names no instant."""


class _Word(StrEnum):
    """Words of a fixed list. The hash is that of the text: an `Enum` has one in Python, and each event asks for it."""

    __hash__ = str.__hash__


class Action(_Word):
    """FHIR AuditEvent.action."""

    CREATE = "C"
    READ = "R"
    UPDATE = "U"
    DELETE = "D"
    EXECUTE = "E"


class Outcome(_Word):
    """FHIR AuditEvent.outcome: 0 success, 4 minor, 8 serious, 12 major failure."""

    SUCCESS = "success"
    MINOR_FAILURE = "minor_failure"
    SERIOUS_FAILURE = "serious_failure"
    MAJOR_FAILURE = "major_failure"


class ActorKind(_Word):
    """The kind of actor."""

    USER = "user"
    PATIENT = "patient"
    SERVICE = "service"
    DEVICE = "device"
    ORGANIZATION = "organization"
    UNKNOWN = "unknown"


PERSONS = frozenset({ActorKind.USER, ActorKind.PATIENT, ActorKind.UNKNOWN})
"""Actors that count as users: people, and actors of unknown kind."""


class Source(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """The reporting service: FHIR AuditEvent.source.

    A service may number its events: `sequence` counts those of one `instance`, from 1 and without a gap, so that the
    trail notices missing ones. A numbered event needs an instance of 1 to 256 characters.
    """

    service: Identifier
    site: Name | None = None
    instance: Name | None = None
    sequence: Sequence | None = None


class Actor(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """The actor: the FHIR AuditEvent.agent that is the requestor. An actor without an id counts as unattributed."""

    kind: ActorKind = ActorKind.USER
    id: Identifier | None = None
    name: Name | None = None
    roles: tuple[Name, ...] = ()
    on_behalf_of: Identifier | None = None


class Client(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """The actor's network address and program: FHIR AuditEvent.agent.network."""

    address: Identifier | None = None
    user_agent: Name | None = None


class Patient(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """A subject of care: the entity with object-role 1, without version (``Patient/17`` is ``17``)."""

    id: Identifier
    name: Name | None = None


class Device(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """The device that the event is about, with its data at that time."""

    id: Identifier
    name: Name | None = None
    software_version: Name | None = None
    configuration_version: Name | None = None


class Resource(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """The object of the action: FHIR AuditEvent.entity.what."""

    type: Identifier
    id: Identifier
    version: Name | None = None
    data_category: Name | None = None


class Change(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """The change of one field, with both values.

    A change shall not obscure what was recorded before (21 CFR 11.10(e)).
    """

    path: Identifier
    before: Any = None
    after: Any = None


class Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """The API request that caused the event."""

    method: Annotated[str, Meta(max_length=32)] | None = None
    path: Annotated[str, Meta(max_length=8192)] | None = None
    status: Annotated[int, Meta(ge=100, le=599)] | None = None
    duration_ms: Annotated[float, Meta(ge=0)] | None = None


class Disclosure(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """The particulars of a disclosure that an individual may ask for (45 CFR 164.528(b)(2))."""

    recipient: Name | None = None
    recipient_address: Name | None = None
    description: Text | None = None
    purpose: Text | None = None


class Coding(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """A code in the words of the reporting system: FHIR Coding."""

    system: Name | None = None
    code: Name | None = None
    display: Name | None = None


class AuditEvent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """One audit event, as its source reports it.

    `recorded_at` and `position` are absent because the store assigns them (21 CFR 11.10(e), independently recorded). A
    message that contains them is rejected.
    """

    event_id: UUID
    type: Annotated[str, Meta(min_length=1, max_length=128)]
    occurred_at: Timestamp
    source: Source
    actor: Actor
    action: Action | None = None
    outcome: Outcome = Outcome.SUCCESS
    outcome_reason: Text | None = None
    session: Identifier | None = None
    client: Client | None = None
    patients: tuple[Patient, ...] = ()
    device: Device | None = None
    resources: tuple[Resource, ...] = ()
    changes: tuple[Change, ...] = ()
    purpose_of_use: tuple[Name, ...] = ()
    reason: Text | None = None
    emergency: bool = False
    correlation_id: Identifier | None = None
    request: Request | None = None
    disclosure: Disclosure | None = None
    codes: tuple[Coding, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION


class RecordedEvent(Struct, frozen=True, kw_only=True, gc=False):
    """An event with the values that the store assigned to it.

    `position` is dense from 0 and equals the Merkle leaf index. `recorded_at` is the store's clock in UTC.
    """

    position: int
    recorded_at: datetime
    stream: UUID
    stream_position: int
    event: AuditEvent
