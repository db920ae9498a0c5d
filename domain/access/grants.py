"""What each role may do, with which events, and which parts of them it does not see. Held as data."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from enum import StrEnum

from msgspec import Struct

from domain.access.principal import Principal, Role
from domain.catalogue import CATALOGUE, GENERIC_TYPE, Category
from domain.event import PERSONS, Actor, ActorKind, AuditEvent


class Operation(StrEnum):
    """What may be asked of the trail, whichever way it is asked: GraphQL, REST, a subscription or an export."""

    READ_EVENTS = "read_events"
    COUNT_EVENTS = "count_events"
    FOLLOW_EVENTS = "follow_events"
    EXPORT = "export"
    READ_PATIENT = "read_patient"
    READ_USER = "read_user"
    READ_DEVICE = "read_device"
    READ_SERVICE = "read_service"
    READ_RESOURCE = "read_resource"
    READ_TABLES = "read_tables"
    """Rows of a projection's tables, an analyst's or a built-in one's."""
    READ_STATUS = "read_status"
    """How far projections are, and what stopped one."""
    READ_PROOFS = "read_proofs"
    """Tree heads and consistency proofs. An inclusion proof needs its event."""
    READ_METRICS = "read_metrics"
    PUBLISH = "publish"
    DECIDE = "decide"
    """Record that a patient may see the names of staff."""


class Part(StrEnum):
    """What can be hidden of an event."""

    PATIENT_NAMES = "patient_names"
    OTHER_PATIENTS = "other_patients"
    """Patients that are not the principal's own, and all that may tell of them."""
    STAFF_NAMES = "staff_names"
    STAFF_IDS = "staff_ids"
    """Who acted, and what leads to them: session, correlation id."""
    CLIENT = "client"
    """Where the actor came from, and the request."""
    FREE_TEXT = "free_text"
    VALUES = "values"
    """What changed from what to what; the path is shown."""
    DISCLOSURE = "disclosure"


class Rows(Struct, frozen=True, kw_only=True):
    """Events that are alike: every condition that is given holds. `Rows()` is all events."""

    patients: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    """Actors that are persons: what a machine of the same id does is not theirs."""
    machines: tuple[str, ...] = ()
    """Actors that are none."""
    sources: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    categories: tuple[Category, ...] = ()
    types: tuple[str, ...] = ()

    def admits(self, event: AuditEvent) -> bool:
        """Whether `event` is one of them."""
        if self.patients and not any(patient.id in self.patients for patient in event.patients):
            return False
        if (self.users or self.machines) and not self._is_by(event.actor):
            return False
        if self.sources and event.source.service not in self.sources:
            return False
        if self.devices and not (_devices(event) & set(self.devices)):
            return False
        if self.types and event.type not in self.types:
            return False
        return not self.categories or category_of(event.type) in self.categories

    def _is_by(self, actor: Actor) -> bool:
        return actor.id in (self.users if actor.kind in PERSONS else self.machines)


ALL = Rows()


class Grant(Struct, frozen=True, kw_only=True):
    """What one role gives one principal."""

    role: Role
    operations: frozenset[Operation]
    rows: tuple[Rows, ...] = ()
    """Events that are in one of these are seen."""
    hidden: frozenset[Part] = frozenset()

    def admits(self, event: AuditEvent) -> bool:
        """Whether `event` may be seen, hidden parts apart."""
        return any(rows.admits(event) for rows in self.rows)


_EVENTS = frozenset({
    Operation.READ_EVENTS,
    Operation.COUNT_EVENTS,
    Operation.FOLLOW_EVENTS,
    Operation.EXPORT,
    Operation.READ_PROOFS,
})  # fmt: skip
_SUBJECTS = frozenset({
    Operation.READ_PATIENT,
    Operation.READ_USER,
    Operation.READ_DEVICE,
    Operation.READ_SERVICE,
    Operation.READ_RESOURCE,
})  # fmt: skip
_RUNNING = frozenset({Operation.READ_STATUS, Operation.READ_PROOFS, Operation.READ_METRICS})
_LOOKING = _EVENTS | _SUBJECTS | {Operation.READ_TABLES, Operation.READ_STATUS}

OPERATIONS: dict[Role, frozenset[Operation]] = {
    Role.AUDITOR: _LOOKING,
    Role.PRIVACY_OFFICER: _LOOKING | {Operation.DECIDE},
    Role.SECURITY_OFFICER: _EVENTS | _SUBJECTS | {Operation.READ_STATUS},
    Role.ANALYST: _LOOKING,
    Role.SERVICE_OWNER: _EVENTS | {Operation.READ_SERVICE},
    Role.CLINICIAN: _EVENTS | {Operation.READ_USER},
    Role.PATIENT: _EVENTS | {Operation.READ_PATIENT},
    Role.DEVICE_MANAGER: _EVENTS | {Operation.READ_DEVICE},
    Role.PUBLISHER: frozenset({Operation.PUBLISH}),
    Role.OPERATOR: _RUNNING,
    Role.ADMIN: frozenset(Operation),
}

_PSEUDONYMISED = frozenset({
    Part.PATIENT_NAMES, Part.STAFF_NAMES, Part.FREE_TEXT, Part.VALUES, Part.DISCLOSURE,
})  # fmt: skip

HIDDEN: dict[Role, frozenset[Part]] = {
    Role.SECURITY_OFFICER: frozenset({Part.PATIENT_NAMES, Part.VALUES, Part.DISCLOSURE}),
    Role.ANALYST: _PSEUDONYMISED,
    # Who changed a configuration is seen, and not from where; an event of no known type may name a patient.
    Role.DEVICE_MANAGER: frozenset({Part.PATIENT_NAMES, Part.CLIENT, Part.DISCLOSURE}),
    # CJEU C-579/21: when and for what purpose, but not which of the staff, unless that was decided.
    Role.PATIENT: frozenset({
        Part.OTHER_PATIENTS,
        Part.STAFF_NAMES,
        Part.STAFF_IDS,
        Part.CLIENT,
        Part.FREE_TEXT,
        Part.VALUES,
    }),
}  # fmt: skip
"""A role that is not here sees the whole of the events that it sees."""

_EVERYTHING = frozenset({
    Role.AUDITOR, Role.PRIVACY_OFFICER, Role.SECURITY_OFFICER, Role.ANALYST, Role.ADMIN,
})  # fmt: skip

STAFF = frozenset({Part.STAFF_NAMES, Part.STAFF_IDS})


def grants_of(principal: Principal, *, sees_staff: Collection[str] = ()) -> tuple[Grant, ...]:
    """What each of the principal's roles gives. `sees_staff`: patients of whom it was decided that they see staff."""
    grants: list[Grant] = []
    for role in sorted(principal.roles):
        hidden = HIDDEN.get(role, frozenset())
        if role is not Role.PATIENT:
            grants.append(_grant(role, _rows(role, principal), hidden))
            if role is Role.DEVICE_MANAGER and principal.devices:
                # What a device has measured is a patient's, and not for who keeps the device running.
                grants.append(
                    _grant(role, _rows_of_devices(principal), hidden | {Part.VALUES, Part.FREE_TEXT})
                )
            continue
        # A decision is about one record, and a principal may have several: a parent has those of the children.
        for told in (True, False):
            own = tuple(patient for patient in principal.patients if (patient in sees_staff) is told)
            rows = [Rows(patients=own)] if own else []
            if rows or not told:
                grants.append(_grant(role, rows, hidden - STAFF if told else hidden))
    return tuple(grants)


def _grant(role: Role, rows: Iterable[Rows], hidden: frozenset[Part]) -> Grant:
    return Grant(role=role, operations=OPERATIONS[role], rows=tuple(rows), hidden=hidden)


_OF_MACHINES = tuple(
    name for name, entry in CATALOGUE.items() if entry.category is Category.SERVICE and name != "api.called"
)
"""What services do as such. A call of an API is somebody's, and about whom it was made."""


def _rows(role: Role, principal: Principal) -> Iterator[Rows]:
    if role in _EVERYTHING:
        yield ALL
    elif role is Role.SERVICE_OWNER and principal.sources:
        yield Rows(sources=principal.sources)
    elif role is Role.CLINICIAN and principal.actors:
        yield Rows(users=principal.actors)
    elif role is Role.DEVICE_MANAGER:
        yield Rows(categories=(Category.DEVICE,))
        yield Rows(types=_OF_MACHINES)


def _rows_of_devices(principal: Principal) -> Iterator[Rows]:
    # What people do with a device, on records or by calls, is no business of who keeps it running.
    yield Rows(machines=principal.devices)
    yield Rows(devices=principal.devices, categories=(Category.OTHER,))


def _devices(event: AuditEvent) -> set[str | None]:
    """The device that the event is about, and the one that acted."""
    about = {event.device.id} if event.device is not None else set()
    return about | ({event.actor.id} if event.actor.kind is ActorKind.DEVICE else set())


def category_of(type: str) -> Category:
    """The category of an event type; that of unclassified events for one that the catalogue does not have."""
    return (CATALOGUE.get(type) or CATALOGUE[GENERIC_TYPE]).category
