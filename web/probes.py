"""The state of the store for health and metrics. Every method blocks."""

from __future__ import annotations

from typing import Protocol

from event_store import dead_letters, event_reader, migrations, streams
from event_store.database import Database

ANSWER_SECONDS = 5.0
"""How long health and metrics wait for the store: no longer than an orchestrator's probe waits."""


class Probes(Protocol):
    """The state of the store. Each method raises `UnavailableError` while the database is away."""

    def pending_migrations(self) -> list[str]:
        """Names of migrations that were not applied."""
        ...

    def log_size(self) -> int:
        """How many positions the log holds."""
        ...

    def dead_letters(self) -> dict[str, int]:
        """How many dead letters there are, by reason."""
        ...

    def recording_gaps(self) -> int:
        """How many losses of records were accepted."""
        ...


class StoreProbes:
    """`Probes` on the event store's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def pending_migrations(self) -> list[str]:
        """Names of migrations that were not applied."""
        with self._database.transaction(read_only=True) as connection:
            return migrations.pending(connection)

    def log_size(self) -> int:
        """How many positions the log holds."""
        with self._database.transaction(read_only=True) as connection:
            return event_reader.log_size(connection)

    def dead_letters(self) -> dict[str, int]:
        """How many dead letters there are, by reason."""
        with self._database.transaction(read_only=True) as connection:
            return dead_letters.count_by_reason(connection)

    def recording_gaps(self) -> int:
        """How many losses of records were accepted."""
        with self._database.transaction(read_only=True) as connection:
            return streams.count_gaps(connection)
