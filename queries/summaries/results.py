"""The answers of the read models. Times are aware and UTC; every list has the newest first, up to the caller's limit.

`as_of_position` is the position up to which the answer is complete; -1 when nothing is applied yet.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from msgspec import Struct

from domain.event import Outcome


class PatientAccess(Struct, frozen=True):
    """The events of one actor about one patient. `actor_id` is None for all actors without an id.

    `accesses` counts successful accesses to data, and `without_purpose` those of them for which no purpose of use was
    given; `events` counts all events, also denied ones, and `emergencies` those under break-glass. `roles` are those in
    which the actor acted.
    """

    actor_id: str | None
    actor_name: str | None
    accesses: int
    events: int
    first_at: datetime
    last_at: datetime
    purposes: tuple[str, ...]
    roles: tuple[str, ...] = ()
    emergencies: int = 0
    without_purpose: int = 0


class PatientActivity(Struct, frozen=True):
    """Who accessed a patient, how often, when last and for what purpose. `events` is the number of all."""

    id: str
    first_seen: datetime
    last_seen: datetime
    events: int
    accesses: list[PatientAccess]
    as_of_position: int


class UserSession(Struct, frozen=True):
    """A session. `started_at` and `ended_at` are None unless an event reports them."""

    session: str
    started_at: datetime | None
    ended_at: datetime | None
    last_seen: datetime
    events: int


class UserPatient(Struct, frozen=True):
    """One patient whom a user's events name."""

    patient_id: str
    events: int
    first_at: datetime
    last_at: datetime


class UserAction(Struct, frozen=True):
    """The number of a user's events of one type."""

    type: str
    events: int


class UserActivity(Struct, frozen=True):
    """The activity of a user. `failed_logins` counts failed logins with this user's id."""

    id: str
    name: str | None
    events: int
    failed_logins: int
    logins: int
    first_seen: datetime
    last_seen: datetime
    sessions: list[UserSession]
    patients: list[UserPatient]
    actions: list[UserAction]
    as_of_position: int


class VersionPeriod(Struct, frozen=True):
    """A version that a device reported."""

    version: str
    first_at: datetime
    last_at: datetime


class ConfigurationChange(Struct, frozen=True):
    """One change of a field of a device's configuration; `before` and `after` are JSON values.

    If the `outcome` is a failure, the field kept its value.
    """

    position: int
    occurred_at: datetime
    actor_id: str | None
    path: str
    before: Any
    after: Any
    outcome: Outcome


class ConfigurationValue(Struct, frozen=True):
    """The value that one field of a device's configuration had at a time, any JSON; None for no value.

    `position` and `event_id` are those of the change that tells it. If `from_later_change`, no change up to that time
    is known: `value` is the one before the next change, and `since` and `changed_by` are None.
    """

    path: str
    value: Any
    since: datetime | None
    changed_by: str | None
    from_later_change: bool
    position: int
    event_id: UUID


class DeviceActivity(Struct, frozen=True):
    """The activity of a device. `connected` is None unless an event reports it."""

    id: str
    name: str | None
    first_seen: datetime
    last_seen: datetime
    events: int
    connected: bool | None
    software_versions: list[VersionPeriod]
    configuration_versions: list[VersionPeriod]
    configuration: list[ConfigurationChange]
    as_of_position: int


class StatePeriod(Struct, frozen=True):
    """A period in one state: ``up``, ``down`` or ``failing`` (its health check).

    `until_at` is None while the period lasts.
    """

    state: str
    from_at: datetime
    until_at: datetime | None
    instance: str | None


class ApiUse(Struct, frozen=True):
    """The API calls of one hour by one method; `duration_ms` is their sum."""

    hour: datetime
    method: str
    calls: int
    failures: int
    duration_ms: float


class ServiceInstance(Struct, frozen=True):
    """An instance of a service that numbers its events: how many came, and the highest number.

    `instance` is None if the reader may not see it.
    """

    instance: str | None
    events: int
    highest: int
    first_at: datetime
    last_at: datetime


class SequenceGap(Struct, frozen=True):
    """Numbers that are missing: no event of the instance has one, and an event has a higher one.

    `noticed_at` is when the first event with a higher number was recorded. `late`: that is longer ago than missing
    events may be on their way.
    """

    service: str
    instance: str | None
    from_number: int
    to_number: int
    noticed_at: datetime | None
    late: bool


class SequenceConflict(Struct, frozen=True):
    """Numbers of an instance that more than one event has."""

    service: str
    instance: str | None
    from_number: int
    to_number: int


class Sequences(NamedTuple):
    """The numbers of a service's events."""

    instances: list[ServiceInstance]
    gaps: list[SequenceGap]
    conflicts: list[SequenceConflict]


class SequenceCounts(NamedTuple):
    """The gaps of a service, those of them that are late, and the runs of repeated numbers."""

    gaps: int
    late: int
    conflicts: int


class GapList(Struct, frozen=True):
    """The newest gaps of all services."""

    gaps: list[SequenceGap]
    as_of_position: int


class ServiceActivity(Struct, frozen=True):
    """The activity of a service. `state` is that of the newest period, None unless an event reports one.

    `instances` are those that number their events.
    """

    id: str
    first_seen: datetime
    last_seen: datetime
    events: int
    state: str | None
    restarts: int
    health_failures: int
    periods: list[StatePeriod]
    api_use: list[ApiUse]
    instances: list[ServiceInstance]
    gaps: list[SequenceGap]
    conflicts: list[SequenceConflict]
    as_of_position: int


class ResourceActivity(Struct, frozen=True):
    """When a resource was first and last touched, by position; to find its events, filter by type and id."""

    type: str
    id: str
    first_seen: datetime
    last_seen: datetime
    as_of_position: int


class ProjectionStatus(Struct, frozen=True):
    """How far a build of a projection is. `lag` is in events; queries read the build that is `live`.

    `projections.build_state` has the words of `state`; `failed_position` says where a build failed. `error` is the
    exception's type and the place in the projector's code. `own`: it is an analyst's. `misfit`: why this program can't
    feed the live build, and the command that helps.
    """

    name: str
    version: int
    position: int
    lag: int
    state: str
    live: bool
    failed_position: int | None
    failed_event_id: str | None
    error: str | None
    own: bool = False
    misfit: str | None = None


class FollowerState(StrEnum):
    """What a follower does. The values are part of the API; never rename one."""

    RUNNING = "running"
    FAILING = "failing"
    """Its receiver is away, or refuses this client; it tries again."""
    STOPPED = "stopped"
    """Its receiver refuses one record for good."""
    PAUSED = "paused"
    WAITING = "waiting"
    """The trail does not have the newest decision about it yet."""
    UNATTENDED = "unattended"
    """No process forwards."""
    REMOVED = "removed"
    """The file of followers no longer names it."""


class FollowerStatus(Struct, frozen=True, kw_only=True):
    """How far a follower is that sends the log to another system.

    `destination`: the receiver, without what is confidential of its address. Up to `position` the receiver has every
    record that is for it; `lag` is the number of events after that, and `lag_seconds` the time since the first of them
    was recorded. `sent` counts the records that it has confirmed, the last of them from `sent_position`. `problem`: why
    the last attempt failed; with `failed_position`, the receiver refuses the record there.
    """

    name: str
    destination: str
    state: FollowerState
    position: int
    lag: int
    lag_seconds: float
    sent: int
    sent_position: int | None
    sent_at: datetime | None
    problem: str | None
    problem_since: datetime | None
    failed_position: int | None
