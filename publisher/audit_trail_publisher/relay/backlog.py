"""What a relay empties: the spool of this machine, or the outbox table of the service's database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from audit_trail_publisher.messages import Message
from audit_trail_publisher.transports.transport import Rejection


class Backlog(Protocol):
    """Messages that wait to be sent. One thread uses it.

    Its methods raise `PublisherError` when the database is away; nothing is lost then.
    """

    def acquire(self) -> bool:
        """Whether this relay may send now. False while another one does, which then sends everything."""
        ...

    def head(self, events: int, size: int) -> list[Message]:
        """The next messages: at most so many, of at most `size` bytes together, but always one if there is any."""
        ...

    def settle(
        self, messages: Sequence[Message], accepted: frozenset[UUID], rejected: dict[UUID, Rejection]
    ) -> None:
        """Remove what the trail has, and keep what it rejects apart. The others of `messages` wait on."""
        ...

    def fail(self, error: str) -> None:
        """The messages of `head` were not sent."""
        ...

    def idle(self) -> None:
        """Called between batches and while nothing waits, for housekeeping."""
        ...

    def release(self) -> None:
        """Let another relay send."""
        ...
