"""The subjects of the trail in the schema: a summary, and a timeline of events."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, TypedDict

import msgspec
import strawberry

from graphql_api.context import Info
from graphql_api.types import summary_rows as rows
from graphql_api.types.configuration import (
    AfterValue,
    AsOf,
    DeviceConfiguration,
    FirstValues,
    configuration_page,
)
from graphql_api.types.connection import (
    After,
    Before,
    EventConnection,
    First,
    Last,
    events_page,
    page_request,
)
from graphql_api.types.descriptions import described, documented
from graphql_api.types.event import Node
from graphql_api.types.event_order import OrderBy
from graphql_api.types.filter_input import EventFilterInput, filter_from
from graphql_api.types.history import AfterChange, FieldChanges, FirstChanges, Path, changes_page
from graphql_api.types.scalars import Long
from graphql_api.types.summary_lists import ROWS, listed
from queries.cursors import encode_id
from queries.summaries import results

_AS_OF = "The summary is complete up to this position."
_FIRST = "The first event about it, by the source's clock."
_LAST = "The last event about it, by the source's clock."
_EVENTS = "How many events."

AnyActivity = (
    results.PatientActivity
    | results.UserActivity
    | results.DeviceActivity
    | results.ServiceActivity
    | results.ResourceActivity
)
Filter = Annotated[EventFilterInput | None, strawberry.argument(description="Narrows the events.")]


class CommonFields(TypedDict):
    """The fields that every subject has."""

    id: strawberry.ID
    first_seen: datetime
    last_seen: datetime
    as_of_position: Long
    row: AnyActivity
    rows_at_most: int


async def _timeline(
    self: Subject,
    info: Info,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
    filter: Filter = None,
    order_by: OrderBy = None,
) -> EventConnection:
    page = page_request(info.context, first, after, last, before, order_by)
    query = info.context.prepare(filter_from(filter, **self.narrowed()))
    return await events_page(info.context, query, page)


@documented
class Subject(Node):
    """The first and last time that something was seen, and its events."""

    first_seen: datetime = described(_FIRST)
    last_seen: datetime = described(_LAST)
    as_of_position: Long = described(_AS_OF)
    row: strawberry.Private[object]
    rows_at_most: strawberry.Private[int]
    timeline: EventConnection = strawberry.field(
        resolver=_timeline, description="Its events, newest first unless `orderBy` says otherwise."
    )

    def narrowed(self) -> dict[str, str]:
        """The filter that gives this subject's events."""
        raise NotImplementedError


@documented
class PatientActivity(Subject):
    """Who accessed a patient's data, how often, when and for what purpose."""

    patient_id: str = described("The patient's id, as events name it.")
    events: Long = described(_EVENTS)
    accesses: list[results.PatientAccess] = listed(
        "accesses", "Who accessed, newest first.", rows.PatientAccess
    )

    def narrowed(self) -> dict[str, str]:
        """The filter of its events."""
        return {"patient": self.patient_id}


@documented
class UserActivity(Subject):
    """What a user did."""

    user_id: str = described("The user's id, as events name it.")
    name: str | None = described("The user's name, as last reported.")
    events: Long = described(_EVENTS)
    logins: Long = described("The number of logins.")
    failed_logins: Long = described("The number of failed logins with this user's id.")
    sessions: list[results.UserSession] = listed(
        "sessions", "The user's sessions, newest first.", rows.UserSession
    )
    patients: list[results.UserPatient] = listed("patients", "The patients dealt with.", rows.UserPatient)
    actions: list[results.UserAction] = listed(
        "actions", "What the user did, by event type.", rows.UserAction
    )

    def narrowed(self) -> dict[str, str]:
        """The filter of its events."""
        return {"user": self.user_id}


async def _configuration_at(
    self: DeviceActivity,
    info: Info,
    as_of: AsOf = None,
    first: FirstValues = None,
    after: AfterValue = None,
) -> DeviceConfiguration | None:
    return await configuration_page(info.context, self.device_id, as_of, first, after)


@documented
class DeviceActivity(Subject):
    """A device over time."""

    device_id: str = described("The device's id, as events name it.")
    name: str | None = described("The device's name, as last reported.")
    events: Long = described(_EVENTS)
    connected: bool | None = described("Whether it is on the network; null if no event reports it.")
    software_versions: list[results.VersionPeriod] = listed(
        "software_versions", "Its software versions.", rows.VersionPeriod
    )
    configuration_versions: list[results.VersionPeriod] = listed(
        "configuration_versions", "The versions of its configuration.", rows.VersionPeriod
    )
    configuration: list[results.ConfigurationChange] = listed(
        "configuration", "What changed in its configuration, newest first.", rows.ConfigurationChange
    )
    configuration_at: DeviceConfiguration | None = strawberry.field(
        resolver=_configuration_at,
        description="The value of each field of its configuration at a time, from the successful "
        "`configuration.changed` events that name the device.",
    )

    def narrowed(self) -> dict[str, str]:
        """The filter of its events."""
        return {"device": self.device_id}


@documented
class ServiceActivity(Subject):
    """A service over time."""

    name: str = described("The service's name, as events name it.")
    events: Long = described(_EVENTS)
    state: str | None = described("`up`, `down` or `failing`; null if no event reports it.")
    restarts: int = described("How many restarts.")
    health_failures: int = described("How many health checks failed.")
    periods: list[results.StatePeriod] = listed("periods", "Its states, newest first.", rows.StatePeriod)
    api_use: list[results.ApiUse] = listed("api_use", "Its API calls by hour and method.", rows.ApiUse)
    instances: list[results.ServiceInstance] = listed(
        "instances", "Its instances that number their events, newest first.", rows.ServiceInstance
    )
    gaps: list[results.SequenceGap] = listed(
        "gaps", "The numbers that are missing, newest first.", rows.SequenceGap
    )
    conflicts: list[results.SequenceConflict] = listed(
        "conflicts", "The numbers that more than one event has.", rows.SequenceConflict
    )

    def narrowed(self) -> dict[str, str]:
        """The filter of its events."""
        return {"service": self.name}


async def _history(
    self: ResourceActivity,
    info: Info,
    path: Path = None,
    first: FirstChanges = None,
    after: AfterChange = None,
) -> FieldChanges:
    return await changes_page(info.context, (self.type, self.resource_id), path, first, after)


@documented
class ResourceActivity(Subject):
    """A resource and its events."""

    type: str = described("The resource's type.")
    resource_id: str = described("The resource's id within the type.")
    history: FieldChanges = strawberry.field(
        resolver=_history,
        description="What changed in it, field by field, newest first. An event that names several resources does not "
        "say in which of them a field changed: its changes are in the history of each.",
    )

    def narrowed(self) -> dict[str, str]:
        """The filter of its events."""
        return {"resource_type": self.type, "resource_id": self.resource_id}


def patient_from(row: results.PatientActivity, rows: int = ROWS) -> PatientActivity:
    """The node of a patient."""
    return PatientActivity(
        **_common(row, "PatientActivity", rows=rows), patient_id=row.id, events=Long(row.events)
    )


def user_from(row: results.UserActivity, rows: int = ROWS) -> UserActivity:
    """The node of a user."""
    return UserActivity(
        **_common(row, "UserActivity", rows=rows),
        user_id=row.id,
        name=row.name,
        events=Long(row.events),
        logins=Long(row.logins),
        failed_logins=Long(row.failed_logins),
    )


def device_from(row: results.DeviceActivity, rows: int = ROWS) -> DeviceActivity:
    """The node of a device."""
    return DeviceActivity(
        **_common(row, "DeviceActivity", rows=rows),
        device_id=row.id,
        name=row.name,
        events=Long(row.events),
        connected=row.connected,
    )


def service_from(row: results.ServiceActivity, rows: int = ROWS) -> ServiceActivity:
    """The node of a service."""
    return ServiceActivity(
        **_common(row, "ServiceActivity", rows=rows),
        name=row.id,
        events=Long(row.events),
        state=row.state,
        restarts=row.restarts,
        health_failures=row.health_failures,
    )


def resource_from(row: results.ResourceActivity) -> ResourceActivity:
    """The node of a resource. Its id is a JSON pair, as a type may hold any character."""
    name = msgspec.json.encode((row.type, row.id)).decode()
    return ResourceActivity(**_common(row, "ResourceActivity", name), type=row.type, resource_id=row.id)


def _common(row: AnyActivity, kind: str, name: str = "", rows: int = ROWS) -> CommonFields:
    return {
        "id": strawberry.ID(encode_id(kind, name or row.id)),
        "first_seen": row.first_seen,
        "last_seen": row.last_seen,
        "as_of_position": Long(row.as_of_position),
        "row": row,
        "rows_at_most": rows,
    }
