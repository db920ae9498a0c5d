"""Which alerts of an actor are in which case, so that an alert opens or joins one case, once."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from eventsourcing.domain import Aggregate

from detection.cases.alerts import Subject


class ActorCases(Aggregate):
    """The alerts and the newest case of one subject. It is appended together with the case that it names."""

    class Begun(Aggregate.Created):
        """The subject has its first case."""

        TOPIC = "actor_cases.begun"
        subject: str

    class AlertReceived(Aggregate.Event):
        """An alert is in a case."""

        TOPIC = "actor_cases.alert_received"
        alert: UUID
        case: UUID

        def apply(self, aggregate: ActorCases) -> None:
            """The case is the newest one."""
            aggregate.alerts[self.alert] = aggregate.newest = self.case

    class CaseOpened(Aggregate.Event):
        """A person opened a case by hand."""

        TOPIC = "actor_cases.case_opened"
        case: UUID

        def apply(self, aggregate: ActorCases) -> None:
            """The case is the newest one."""
            aggregate.newest = self.case

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.alerts: dict[UUID, UUID] = {}
        """The case of each alert."""
        self.newest: UUID | None = None
        """The newest case, which new alerts join."""

    @classmethod
    def begin(cls, subject: Subject, at: datetime) -> ActorCases:
        """No alert and no case yet."""
        return cls._create(cls.Begun, id=subject.id, timestamp=at, subject=subject.key)

    def receive(self, alert: UUID, case: UUID, at: datetime) -> None:
        """Remember that an alert is in a case."""
        self.trigger_event(self.AlertReceived, timestamp=at, alert=alert, case=case)

    def open(self, case: UUID, at: datetime) -> None:
        """Remember a case that a person opened."""
        self.trigger_event(self.CaseOpened, timestamp=at, case=case)
