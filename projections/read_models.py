"""The one door through which the web layers read. Every method blocks; every answer is one snapshot."""

from __future__ import annotations

from uuid import UUID

from domain.event import RecordedEvent
from event_store.database import Database
from projections.answers import (
    ApiUse,
    ConfigurationChange,
    DeviceActivity,
    PatientAccess,
    PatientActivity,
    ProjectionStatus,
    ResourceActivity,
    ServiceActivity,
    StatePeriod,
    UserAction,
    UserActivity,
    UserPatient,
    UserSession,
    VersionPeriod,
)
from projections.filters import EventFilter, EventPage, PageRequest

__all__ = [
    "ApiUse",
    "ConfigurationChange",
    "DeviceActivity",
    "PatientAccess",
    "PatientActivity",
    "ProjectionStatus",
    "ReadModels",
    "ResourceActivity",
    "ServiceActivity",
    "StatePeriod",
    "UserAction",
    "UserActivity",
    "UserPatient",
    "UserSession",
    "VersionPeriod",
]

DEFAULT_LIMIT = 100


class ReadModels:
    """Queries on the live version of every projection."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def events(self, filter: EventFilter, page: PageRequest) -> EventPage: ...  # type: ignore[empty-body]
    def event(self, event_id: UUID) -> RecordedEvent | None: ...
    def as_of_position(self) -> int: ...  # type: ignore[empty-body]
    def patient(self, id: str, limit: int = DEFAULT_LIMIT) -> PatientActivity | None: ...
    def user(self, id: str, limit: int = DEFAULT_LIMIT) -> UserActivity | None: ...
    def device(self, id: str, limit: int = DEFAULT_LIMIT) -> DeviceActivity | None: ...
    def service(self, id: str, limit: int = DEFAULT_LIMIT) -> ServiceActivity | None: ...
    def resource(self, type: str, id: str) -> ResourceActivity | None: ...
    def projections(self) -> list[ProjectionStatus]: ...  # type: ignore[empty-body]
