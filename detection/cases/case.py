"""The case: what was found about an actor, and what people did about it."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from eventsourcing.domain import Aggregate

from detection.cases.alerts import TRAIL, AlertFacts, Subject, case_id_of, command_id_of
from domain.alert_level import Level
from domain.cases.commands import (
    AnswerQuestion,
    AskEmployee,
    Assign,
    CaseCommand,
    Comment,
    Decide,
    OpenCase,
    Person,
    Reopen,
    Verdict,
)
from domain.errors import ConflictError, Reason

JOINS_FOR = timedelta(days=90)
"""An alert joins an open case if it is at most this much later than the newest alert of the case."""
MAX_ALERTS = 1000
"""Alerts of one case; the next one opens another case."""
MAX_EVENTS = 5000
"""Events of one case, alerts included: every command reads them all."""

CaseChange = Assign | Comment | AskEmployee | AnswerQuestion | Decide | Reopen


class CaseState(StrEnum):
    """How far a case is. The values are stored; never rename one."""

    OPEN = "open"
    DECIDED = "decided"


class Case(Aggregate):
    """One case. Each event says who gave which command, and when (`timestamp`).

    Raises `ConflictError` for a command that the state does not allow. A command whose id is known changes nothing.
    """

    class Event(Aggregate.Event):
        """What all events of a case have. `command` is the idempotency key."""

        command: UUID
        by: Person

        def apply(self, aggregate: Case) -> None:
            """Remember the command."""
            aggregate.commands[self.command] = self.originator_version

    class Opened(Event, Aggregate.Created):
        """An alert, or a person, opened the case. `earlier` is the previous case of the same actor."""

        TOPIC = "case.opened"
        subject: str
        actor: str | None
        title: str
        level: Level
        reason: str
        alert: AlertFacts | None
        earlier: UUID | None

    class AlertJoined(Event):
        """One more alert of the same actor."""

        TOPIC = "case.alert_joined"
        alert: AlertFacts

        def apply(self, aggregate: Case) -> None:
            """The alert counts."""
            super().apply(aggregate)
            aggregate.take(self.alert)

    class Assigned(Event):
        """Somebody is to work on the case."""

        TOPIC = "case.assigned"
        assignee: Person
        reason: str

        def apply(self, aggregate: Case) -> None:
            """The assignee is another one."""
            super().apply(aggregate)
            aggregate.assignee = self.assignee

    class Commented(Event):
        """Somebody wrote something."""

        TOPIC = "case.commented"
        text: str

    class EmployeeAsked(Event):
        """An employee was asked."""

        TOPIC = "case.employee_asked"
        employee: Person
        question: str

        def apply(self, aggregate: Case) -> None:
            """A question is open."""
            super().apply(aggregate)
            aggregate.asked = self.employee

    class EmployeeAnswered(Event):
        """The employee answered the open question."""

        TOPIC = "case.employee_answered"
        answer: str

        def apply(self, aggregate: Case) -> None:
            """No question is open."""
            super().apply(aggregate)
            aggregate.asked = None

    class Decided(Event):
        """Somebody decided the case."""

        TOPIC = "case.decided"
        verdict: Verdict
        reason: str
        seconds: int | None

        def apply(self, aggregate: Case) -> None:
            """The case is closed, and so is its question."""
            super().apply(aggregate)
            aggregate.state, aggregate.asked = CaseState.DECIDED, None

    class Reopened(Event):
        """Somebody opened the decided case again."""

        TOPIC = "case.reopened"
        reason: str

        def apply(self, aggregate: Case) -> None:
            """The case is open."""
            super().apply(aggregate)
            aggregate.state = CaseState.OPEN

    def __init__(self, command: UUID, subject: str, actor: str | None, alert: AlertFacts | None) -> None:
        self.subject = subject
        self.actor = actor
        self.state = CaseState.OPEN
        self.assignee: Person | None = None
        self.asked: Person | None = None
        """The employee of the open question. A decision closes the question."""
        self.alerts: set[UUID] = set()
        self.newest_alert_at = self.created_on
        self.commands = {command: self.version}
        """The version that each command gave the case."""
        if alert is not None:
            self.alerts.add(alert.id)
            self.newest_alert_at = alert.raised_at

    @classmethod
    def open(cls, alert: AlertFacts, subject: Subject, *, at: datetime, earlier: UUID | None) -> Case:
        """The case that an alert opens."""
        return cls._create(
            cls.Opened,
            id=case_id_of(alert.id),
            timestamp=at,
            command=command_id_of(alert.id),
            by=TRAIL,
            subject=subject.key,
            actor=subject.actor,
            title=alert.title,
            level=alert.level,
            reason="",
            alert=alert,
            earlier=earlier,
        )

    @classmethod
    def open_by_hand(
        cls, command: CaseCommand, body: OpenCase, subject: Subject, earlier: UUID | None
    ) -> Case:
        """The case that a person opens."""
        return cls._create(
            cls.Opened,
            id=command.target,
            timestamp=command.requested_at,
            command=command.id,
            by=command.person,
            subject=subject.key,
            actor=subject.actor,
            title=body.title,
            level=body.level,
            reason=body.reason,
            alert=None,
            earlier=earlier,
        )

    @property
    def is_open(self) -> bool:
        """Whether it is not decided."""
        return self.state is CaseState.OPEN

    def admits(self, alert: AlertFacts) -> bool:
        """Whether a new alert of the same actor joins this case, or opens another one."""
        return (
            self.is_open
            and alert.raised_at - self.newest_alert_at <= JOINS_FOR
            and len(self.alerts) < MAX_ALERTS
            and self.version < MAX_EVENTS
        )

    def join(self, alert: AlertFacts, *, at: datetime) -> None:
        """Take one more alert."""
        if alert.id not in self.alerts:
            self.trigger_event(
                self.AlertJoined, timestamp=at, command=command_id_of(alert.id), by=TRAIL, alert=alert
            )

    def take(self, alert: AlertFacts) -> None:
        """Count an alert that has joined."""
        self.alerts.add(alert.id)
        self.newest_alert_at = max(self.newest_alert_at, alert.raised_at)

    def change(self, command: CaseCommand, body: CaseChange) -> None:
        """Carry out a command about this case."""
        if command.id in self.commands:
            return
        if self.version >= MAX_EVENTS:
            raise _conflict(f"this case has {MAX_EVENTS} entries: open another one")
        common = {"timestamp": command.requested_at, "command": command.id, "by": command.person}
        match body:
            case Assign():
                self._require_open("assigned")
                self.trigger_event(self.Assigned, assignee=body.assignee, reason=body.reason, **common)
            case Comment():
                self.trigger_event(self.Commented, text=body.text, **common)
            case AskEmployee():
                self._ask(body, common)
            case AnswerQuestion():
                if self.asked is None:
                    raise _conflict("this case has no open question")
                self.trigger_event(self.EmployeeAnswered, answer=body.answer, **common)
            case Decide():
                self._require_open("decided")
                self.trigger_event(
                    self.Decided, verdict=body.verdict, reason=body.reason, seconds=body.seconds, **common
                )
            case Reopen():
                if self.is_open:
                    raise _conflict("this case is open: there is nothing to open again")
                self.trigger_event(self.Reopened, reason=body.reason, **common)

    def _ask(self, body: AskEmployee, common: dict[str, object]) -> None:
        self._require_open("asked about")
        if self.asked is not None:
            raise _conflict("a question of this case is still open: wait for its answer, or decide the case")
        self.trigger_event(self.EmployeeAsked, employee=body.employee, question=body.question, **common)

    def _require_open(self, what: str) -> None:
        if not self.is_open:
            raise _conflict(f"this case is decided, so it can't be {what}: open it again first")


def _conflict(message: str) -> ConflictError:
    return ConflictError(Reason.CONFLICT, message)
