"""Projectors whose rows depend on all events before: they get the log in order, and keep a state between batches.

The state is saved now and then, in the transaction of the rows. After a restart or a transaction that failed, the fold
goes on from the saved state and reads again what came between it and the checkpoint; these rows are there already.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeGuard

from domain.event import RecordedEvent
from event_store.database import Cursor, Database
from event_store.event_reader import read_events
from event_store.statements import load
from projections.projector import Projector
from projections.registry import Build
from projections.tables import Row

_SQL = load(__package__, "stateful.sql")
_PAGE = 5000
SAVE_SECONDS = 30.0
_SAVE_EVENTS = 200_000
"""The state is saved after so much time or so many positions: a restart reads at most these again, some seconds."""
_SAVE_SHARE = 50
"""Saving takes at most a fiftieth of the time."""


class Fold(Protocol):
    """What a stateful projector makes of the log so far."""

    def rows(self, events: Sequence[RecordedEvent], last: int) -> Mapping[str, Iterable[Row]]:
        """Each table's rows for the next positions, up to `last`. They do not depend on how the log is cut."""

    def state(self) -> bytes:
        """All that the positions so far leave behind."""


class StatefulProjector(Projector, Protocol):
    """A projector that reads the log in order. Its `rows` is not called: its fold makes them.

    A rebuild is no parallel load: the new build catches up from the beginning of the log.
    """

    def fold(self, database: Database, position: int, state: bytes | None) -> Fold:
        """The fold that has seen the log up to `position`, with the state of then; None at the beginning (-1)."""


def is_stateful(projector: Projector) -> TypeGuard[StatefulProjector]:
    """Whether the projector has a fold."""
    return hasattr(projector, "fold")


class FoldedRows:
    """The rows of one build of a stateful projector. Not thread-safe."""

    def __init__(self, database: Database, projector: StatefulProjector, build: Build) -> None:
        self._database = database
        self._projector = projector
        self._key = {"name": build.name, "build": build.build}
        self.skipped: frozenset[int] = frozenset()
        self._fold: Fold | None = None
        self._at = -1
        self._saved_at = -1
        self._save_time = 0.0

    def rows(self, events: Sequence[RecordedEvent], after: int, last: int) -> dict[str, list[Row]]:
        """The rows of the positions from `after` + 1 to `last`."""
        fold = self._fold
        if fold is None or self._at != after:
            fold = self._restored(after)
        self._fold = None  # until it is done: an error leaves it half way
        rows = fold.rows(events, last)
        made = {table.name: list(rows.get(table.name, ())) for table in self._projector.tables}
        self._fold, self._at = fold, last
        return made

    def save(self, cursor: Cursor) -> None:
        """Save the state when it is time, in the transaction of the rows."""
        now = time.monotonic()
        if self._fold is None or (now < self._save_time and self._at - self._saved_at < _SAVE_EVENTS):
            return
        state = self._fold.state()
        cursor.execute(_SQL["save"], self._key | {"position": self._at, "state": state})
        took = time.monotonic() - now
        self._saved_at, self._save_time = self._at, now + max(SAVE_SECONDS, _SAVE_SHARE * took)

    def _restored(self, after: int) -> Fold:
        """The fold at `after`: from the saved state, and what came since."""
        with self._database.transaction(read_only=True) as connection, connection.cursor() as cursor:
            cursor.execute(_SQL["find"], self._key | {"position": after})
            row = cursor.fetchone()
        position, state = (int(row[0]), bytes(row[1])) if row else (-1, None)
        fold = self._projector.fold(self._database, position, state)
        self._saved_at, self._save_time = position, time.monotonic() + SAVE_SECONDS
        while position < after:
            with self._database.transaction(read_only=True) as connection:
                batch = read_events(connection, position, min(_PAGE, after - position))
            kept = [each for each in batch.events if each.position not in self.skipped]
            fold.rows(kept, batch.last)
            position = batch.last
        return fold
