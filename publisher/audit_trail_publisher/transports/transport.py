"""The interface of a transport."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from audit_trail_publisher.errors import TransportError
from audit_trail_publisher.messages import Message


class Rejection(Struct, frozen=True):
    """Why the trail rejected an event: it would reject it again. Reasons are those of the trail's dead letters."""

    reason: str
    field: str
    message: str


class Delivery(Struct, frozen=True, kw_only=True):
    """The outcome of a batch. Messages that are neither accepted nor rejected are sent again; `error` says why."""

    accepted: frozenset[UUID] = frozenset()
    rejected: dict[UUID, Rejection] = {}
    error: TransportError | None = None


class BatchTooLargeError(TransportError):
    """Retry: the batch is larger than the trail accepts. A smaller one may be accepted."""


class Transport(Protocol):
    """Sends batches, one after the other, from one thread."""

    max_events: int
    max_bytes: int
    """The largest batch: events, and bytes of their bodies together."""

    def send(self, messages: Sequence[Message]) -> Delivery:
        """Send messages in order and wait until each is safe with the trail, or rejected.

        Raises `TransportError` when nothing is known to be accepted: all are sent again, and event ids prevent
        duplicates. Raises `DeniedError` while the credentials do not suffice, and `BatchTooLargeError` when fewer
        messages may be accepted.
        """
        ...

    def close(self) -> None:
        """Close connections; `send` opens them again."""
        ...

    def forget(self) -> None:
        """In a forked process: drop the connections of the parent, without a word to the other side."""
        ...
