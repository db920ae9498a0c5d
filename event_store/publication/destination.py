"""What every place for heads is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from event_store.heads import StoredHead


class Destination(Protocol):
    """A place outside the database that heads are published to. Every method blocks."""

    @property
    def name(self) -> str:
        """What it is called in logs and metrics; without anything secret."""

    def published(self) -> Sequence[bytes]:
        """Signed notes that were published there, the newest of them at least; empty when it can't be asked.

        Raises `UnavailableError` while it is away.
        """

    def publish(self, head: StoredHead) -> None:
        """Publish `head`. Safe to repeat.

        Raises `UnavailableError` while the place is away, `ConfigurationError` when it refuses, and
        `LogInconsistentError` when it holds a head that the log contradicts.
        """
