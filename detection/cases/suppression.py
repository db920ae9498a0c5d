"""A suppression: alerts of a rule that nobody wants to see for a time, with owner and reason."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from eventsourcing.domain import Aggregate

from domain.cases.commands import CaseCommand, EndSuppression, Person, Suppress
from domain.errors import ConflictError, InvalidEventError, Reason

MAX_TIME = timedelta(days=366)
"""How long a suppression may last. Somebody has to decide again after that."""


class Suppression(Aggregate):
    """One suppression. It ends when it expires, or earlier by a command."""

    class Event(Aggregate.Event):
        """What all events of a suppression have. `command` is the idempotency key."""

        command: UUID
        by: Person

        def apply(self, aggregate: Suppression) -> None:
            """Remember the command."""
            aggregate.commands[self.command] = self.originator_version

    class Started(Event, Aggregate.Created):
        """Somebody suppressed alerts of a rule: of groups that have these names and values, or all."""

        TOPIC = "suppression.started"
        rule_id: UUID
        match: dict[str, str]
        owner: Person
        reason: str
        expires_at: datetime

    class Ended(Event):
        """Somebody ended it before it expired."""

        TOPIC = "suppression.ended"
        reason: str

        def apply(self, aggregate: Suppression) -> None:
            """It holds nothing back any more."""
            super().apply(aggregate)
            aggregate.ended = True

    def __init__(self, command: UUID, expires_at: datetime) -> None:
        self.expires_at = expires_at
        self.ended = False
        self.commands = {command: self.version}
        """The version that each command gave it."""

    @classmethod
    def start(cls, command: CaseCommand, body: Suppress) -> Suppression:
        """A new suppression. Raises `InvalidEventError` when it would last too long, or not at all."""
        lasts = body.expires_at - command.requested_at
        if not timedelta(0) < lasts <= MAX_TIME:
            raise InvalidEventError(
                Reason.INVALID_FIELD,
                f"a suppression ends in the future, at most {MAX_TIME.days} days from now",
                field="expires_at",
            )
        return cls._create(
            cls.Started,
            id=command.target,
            timestamp=command.requested_at,
            command=command.id,
            by=command.person,
            rule_id=body.rule_id,
            match=dict(sorted(body.match.items())),
            owner=body.owner,
            reason=body.reason,
            expires_at=body.expires_at,
        )

    def end(self, command: CaseCommand, body: EndSuppression) -> None:
        """End it now. Raises `ConflictError` when it has ended."""
        if command.id in self.commands:
            return
        if self.ended or command.requested_at >= self.expires_at:
            raise ConflictError(Reason.CONFLICT, "this suppression has ended already")
        self.trigger_event(
            self.Ended,
            timestamp=command.requested_at,
            command=command.id,
            by=command.person,
            reason=body.reason,
        )
