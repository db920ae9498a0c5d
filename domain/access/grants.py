"""The grants of each role as data: operations, events, and the parts of an event that are hidden."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from domain.access.principal import Principal, Role
from domain.catalogue import ALERT_RAISED, CATALOGUE, EMPLOYEE_ASKED, GENERIC_TYPE, TRAIL_SERVICE, Category
from domain.event import PERSONS, Actor, ActorKind, AuditEvent


class Operation(StrEnum):
    """The operations of the trail, independent of the interface: GraphQL, REST, a subscription or an export."""

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
    """Rows of a projection's tables, built-in or custom."""
    READ_STATUS = "read_status"
    """The progress of projections, the error that stopped one, and the state of what the watcher checks."""
    READ_PROOFS = "read_proofs"
    """Tree heads and consistency proofs. An inclusion proof also needs the right to see its event."""
    READ_METRICS = "read_metrics"
    PUBLISH = "publish"
    DECIDE = "decide"
    """Record that a patient may see the names of staff."""
    SHARE = "share"
    """Make a link to one event or one list for somebody without an account."""
    REVOKE = "revoke"
    """See and revoke the links of others; everybody who shares may revoke their own."""
    READ_DEAD_LETTERS = "read_dead_letters"
    """Dead letters without their messages: place, reason, size, and the outline of a message without its values.

    Also the requests of operators, and what became of them.
    """
    READ_MESSAGES = "read_messages"
    """The messages of dead letters, which may contain data of any patient."""
    DECIDE_DEAD_LETTERS = "decide_dead_letters"
    """Ask for the requeue or the dismissal of a dead letter."""
    REBUILD = "rebuild"
    """Ask for the rebuild of a built-in projection."""
    READ_CASES = "read_cases"
    """Alerts, cases, suppressions and reviews."""
    HANDLE_CASES = "handle_cases"
    """Open, assign and comment cases, and ask employees."""
    DECIDE_CASES = "decide_cases"
    """Decide cases, open them again, and decide one's items of reviews; not about oneself."""
    RUN_REVIEWS = "run_reviews"
    """Begin, reassign and close reviews."""
    SUPPRESS_ALERTS = "suppress_alerts"
    """Hold back the alerts of a rule for a time."""


class Part(StrEnum):
    """A part of an event that can be hidden."""

    PATIENT_NAMES = "patient_names"
    OTHER_PATIENTS = "other_patients"
    """Patients other than the principal's own, and everything that may identify them."""
    STAFF_NAMES = "staff_names"
    STAFF_IDS = "staff_ids"
    """The actor's id, and what identifies the actor: session, correlation id."""
    CLIENT = "client"
    """The actor's network address and program, and the request."""
    FREE_TEXT = "free_text"
    VALUES = "values"
    """The old and new values of changes. The path stays visible."""
    DISCLOSURE = "disclosure"


class Rows(Struct, frozen=True, kw_only=True):
    """A set of events: those that satisfy every non-empty condition. `Rows()` is all events."""

    patients: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    """Actors that are persons. A machine with the same id does not match."""
    machines: tuple[str, ...] = ()
    """Actors that are not persons."""
    sources: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    categories: tuple[Category, ...] = ()
    types: tuple[str, ...] = ()
    except_types: tuple[str, ...] = ()
    """Events of these types are not in the set."""

    def admits(self, event: AuditEvent) -> bool:
        """Whether `event` is in this set."""
        if self.patients and not any(patient.id in self.patients for patient in event.patients):
            return False
        if (self.users or self.machines) and not self._is_by(event.actor):
            return False
        if self.sources and event.source.service not in self.sources:
            return False
        if self.devices and not (_devices(event) & set(self.devices)):
            return False
        if (self.types and event.type not in self.types) or event.type in self.except_types:
            return False
        return not self.categories or category_of(event.type) in self.categories

    def _is_by(self, actor: Actor) -> bool:
        return actor.id in (self.users if actor.kind in PERSONS else self.machines)


ALL = Rows()
WITHOUT_ALERTS = Rows(except_types=(ALERT_RAISED, EMPLOYEE_ASKED))
"""All events but alerts, and those that name a case: one that its reader does not find among the cases is theirs.

Not all but the alerts about oneself: positions have no gaps, so that each position that is missing would be one.
"""


class Grant(Struct, frozen=True, kw_only=True):
    """The rights that one role gives to one principal."""

    role: Role
    operations: frozenset[Operation]
    rows: tuple[Rows, ...] = ()
    """The principal sees events that are in one of these sets."""
    hidden: frozenset[Part] = frozenset()

    @property
    def has_summaries(self) -> bool:
        """Whether the summaries of all subjects may be read: only a list of alerts tells about whom they are."""
        return ALL in self.rows or WITHOUT_ALERTS in self.rows

    def admits(self, event: AuditEvent) -> bool:
        """Whether the principal may see `event`, with its hidden parts removed."""
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
_OPERATING = _RUNNING | {Operation.READ_DEAD_LETTERS, Operation.DECIDE_DEAD_LETTERS, Operation.REBUILD}
_MESSAGES = frozenset({Operation.READ_DEAD_LETTERS, Operation.READ_MESSAGES})
_REVIEW = frozenset({Operation.READ_CASES, Operation.HANDLE_CASES, Operation.DECIDE_CASES})
_OFFICER = _REVIEW | {Operation.SUPPRESS_ALERTS, Operation.RUN_REVIEWS}
_READ_EVERYTHING = _EVENTS | _SUBJECTS | {Operation.READ_TABLES, Operation.READ_STATUS}

OF_LINK = frozenset({Operation.READ_EVENTS, Operation.COUNT_EVENTS, Operation.READ_PROOFS})
"""What the reader of a shared link may do, if the roles of its maker allow it."""

OPERATIONS: dict[Role, frozenset[Operation]] = {
    Role.AUDITOR: _READ_EVERYTHING | _MESSAGES | {Operation.SHARE, Operation.READ_CASES},
    Role.PRIVACY_OFFICER: _READ_EVERYTHING
    | _MESSAGES
    | _OFFICER
    | {Operation.DECIDE, Operation.SHARE, Operation.REVOKE},
    Role.SECURITY_OFFICER: _EVENTS | _SUBJECTS | _OFFICER | {Operation.READ_STATUS},
    Role.REVIEWER: _EVENTS | _SUBJECTS | _REVIEW,
    Role.ANALYST: _READ_EVERYTHING,
    Role.SERVICE_OWNER: _EVENTS | {Operation.READ_SERVICE},
    Role.CLINICIAN: _EVENTS | {Operation.READ_USER},
    Role.PATIENT: _EVENTS | {Operation.READ_PATIENT},
    Role.DEVICE_MANAGER: _EVENTS | {Operation.READ_DEVICE},
    Role.PUBLISHER: frozenset({Operation.PUBLISH}),
    Role.OPERATOR: _OPERATING,
    Role.ADMIN: frozenset(Operation),
}


def roles_with(operation: Operation) -> list[Role]:
    """The roles that allow the operation."""
    return [role for role, operations in OPERATIONS.items() if operation in operations]


_PSEUDONYMISED = frozenset({
    Part.PATIENT_NAMES, Part.STAFF_NAMES, Part.FREE_TEXT, Part.VALUES, Part.DISCLOSURE,
})  # fmt: skip

HIDDEN: dict[Role, frozenset[Part]] = {
    Role.SECURITY_OFFICER: frozenset({Part.PATIENT_NAMES, Part.VALUES, Part.DISCLOSURE}),
    # A review asks who saw which record and why. What stood in the record is not needed for it.
    Role.REVIEWER: frozenset({Part.VALUES, Part.DISCLOSURE}),
    Role.ANALYST: _PSEUDONYMISED,
    # The role sees who changed a configuration, but not from where. An event of unknown type may name a patient.
    Role.DEVICE_MANAGER: frozenset({Part.PATIENT_NAMES, Part.CLIENT, Part.DISCLOSURE}),
    # CJEU C-579/21: the patient learns when and for what purpose, but not which member of staff, unless a decision
    # allows it.
    Role.PATIENT: frozenset({
        Part.OTHER_PATIENTS,
        Part.STAFF_NAMES,
        Part.STAFF_IDS,
        Part.CLIENT,
        Part.FREE_TEXT,
        Part.VALUES,
    }),
}  # fmt: skip
"""A role that is not listed sees its events in full."""

_EVERYTHING = frozenset({
    Role.AUDITOR, Role.PRIVACY_OFFICER, Role.SECURITY_OFFICER, Role.REVIEWER, Role.ANALYST, Role.ADMIN,
})  # fmt: skip

ALERTS_OF_OTHERS = frozenset({Role.REVIEWER})
"""A person with one of these roles sees no alert and no case about themselves.

So they read alerts and cases by the queries for these, and not as events.
"""

STAFF = frozenset({Part.STAFF_NAMES, Part.STAFF_IDS})


def grants_of(principal: Principal, *, sees_staff: Collection[str] = ()) -> tuple[Grant, ...]:
    """The grants of each of the principal's roles. `sees_staff`: patients who may see staff, by a recorded decision."""
    grants: list[Grant] = []
    for role in sorted(principal.roles):
        hidden = HIDDEN.get(role, frozenset())
        if role is not Role.PATIENT:
            grants.append(_grant(role, _rows(role, principal), hidden))
            if role is Role.DEVICE_MANAGER and principal.devices:
                # A device's measurements belong to a patient; those who maintain the device may not see them.
                grants.append(
                    _grant(role, _rows_of_devices(principal), hidden | {Part.VALUES, Part.FREE_TEXT})
                )
            continue
        # A decision covers one record, and a principal may have several, as a parent has those of the children.
        for shows_staff in (True, False):
            own = tuple(patient for patient in principal.patients if (patient in sees_staff) is shows_staff)
            rows = [Rows(patients=own)] if own else []
            if rows or not shows_staff:
                grants.append(_grant(role, rows, hidden - STAFF if shows_staff else hidden))
    if principal.link is not None:
        return tuple(replace(grant, operations=grant.operations & OF_LINK) for grant in grants)
    return tuple(grants)


def _grant(role: Role, rows: Iterable[Rows], hidden: frozenset[Part]) -> Grant:
    return Grant(role=role, operations=OPERATIONS[role], rows=tuple(rows), hidden=hidden)


_OF_MACHINES = tuple(
    name for name, entry in CATALOGUE.items() if entry.category is Category.SERVICE and name != "api.called"
)
"""Event types of services themselves. `api.called` is not among them: it belongs to the caller and names patients."""


def _rows(role: Role, principal: Principal) -> Iterator[Rows]:
    if role in _EVERYTHING:
        yield WITHOUT_ALERTS if role in ALERTS_OF_OTHERS and principal.kind in PERSONS else ALL
    elif role is Role.SERVICE_OWNER and principal.sources:
        # The owner of the trail answers for its running. Alerts are for those who review them.
        alerts = (ALERT_RAISED,) if TRAIL_SERVICE in principal.sources else ()
        yield Rows(sources=principal.sources, except_types=alerts)
    elif role is Role.CLINICIAN and principal.actors:
        yield Rows(users=principal.actors)
    elif role is Role.DEVICE_MANAGER:
        yield Rows(categories=(Category.DEVICE,))
        yield Rows(types=_OF_MACHINES)


def _rows_of_devices(principal: Principal) -> Iterator[Rows]:
    # Those who maintain a device may not see what people do with it, on records or by API calls.
    yield Rows(machines=principal.devices)
    yield Rows(devices=principal.devices, categories=(Category.OTHER,))


def _devices(event: AuditEvent) -> set[str | None]:
    """The device that the event is about, and the device that acted."""
    about = {event.device.id} if event.device is not None else set()
    return about | ({event.actor.id} if event.actor.kind is ActorKind.DEVICE else set())


def category_of(type: str) -> Category:
    """The category of an event type; that of `GENERIC_TYPE` for a type that is not in the catalogue."""
    return (CATALOGUE.get(type) or CATALOGUE[GENERIC_TYPE]).category
