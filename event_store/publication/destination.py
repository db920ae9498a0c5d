"""The interface of destinations for heads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from event_store.heads import StoredHead


class Destination(Protocol):
    """A destination for heads outside the database. Every method blocks."""

    @property
    def name(self) -> str:
        """The name in logs and metrics; it contains no secret."""

    def published(self) -> Sequence[bytes]:
        """The published notes, at least the newest; empty if the destination can't be queried.

        Raises `UnavailableError` while it is away.
        """

    def publish(self, head: StoredHead) -> None:
        """Publish `head`. Safe to repeat.

        Raises `UnavailableError` while the destination is away, `ConfigurationError` when it refuses, and
        `LogInconsistentError` when it has a head that contradicts the log.
        """
