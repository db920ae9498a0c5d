"""The decisions on a dead letter: an event-sourced aggregate, because each decision is evidence."""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from eventsourcing.domain import Aggregate, event

from domain.errors import ConfigurationError


class Resolution(StrEnum):
    """The state of a dead letter."""

    OPEN = "open"
    REQUEUED = "requeued"
    DISMISSED = "dismissed"


class DeadLetterResolution(Aggregate):
    """The history of one dead letter: received, then requeued (any number of times) or dismissed.

    Every decision has a person and a reason.
    """

    class Received(Aggregate.Created):
        """The dead letter exists; the first decision follows."""

        dead_letter: int

    class Requeued(Aggregate.Event):
        """An operator published the message again, unchanged."""

        by: str
        reason: str

    class Dismissed(Aggregate.Event):
        """An operator decided not to publish the message again."""

        by: str
        reason: str

    @classmethod
    def receive(cls, resolution_id: UUID, dead_letter: int) -> DeadLetterResolution:
        """Start the history of one dead letter."""
        return cls._create(cls.Received, id=resolution_id, dead_letter=dead_letter)

    def __init__(self, dead_letter: int) -> None:
        self.dead_letter = dead_letter
        self.state = Resolution.OPEN
        self.by = ""
        self.reason = ""

    def requeue(self, *, by: str, reason: str) -> None:
        """Send the message through ingest again. Raises `ConfigurationError` if it was dismissed."""
        self._decide("requeued", by, reason)
        self._requeued(by, reason)

    def dismiss(self, *, by: str, reason: str) -> None:
        """Close the dead letter. Raises `ConfigurationError` if it was dismissed before."""
        self._decide("dismissed", by, reason)
        self._dismissed(by, reason)

    @event(Requeued)
    def _requeued(self, by: str, reason: str) -> None:
        self.state, self.by, self.reason = Resolution.REQUEUED, by, reason

    @event(Dismissed)
    def _dismissed(self, by: str, reason: str) -> None:
        self.state, self.by, self.reason = Resolution.DISMISSED, by, reason

    def _decide(self, what: str, by: str, reason: str) -> None:
        if not by.strip() or not reason.strip():
            raise ConfigurationError("name who decides (--by) and why (--reason)")
        try:
            f"{by}{reason}".encode()
        except UnicodeEncodeError as exc:
            raise ConfigurationError("name and reason must be UTF-8 text") from exc
        if self.state is Resolution.DISMISSED:
            raise ConfigurationError(
                f"dead letter {self.dead_letter} was dismissed by {self.by}; it can't be {what}"
            )
