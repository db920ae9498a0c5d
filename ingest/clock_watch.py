"""Notices jumps of the database's clock, and puts each on record once: not for each batch, and not for each restart."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from domain.event import AuditEvent, Source
from domain.recording_clock import RECOVERED, TOLERANCES, ClockReading, changes
from event_store.append import Appended
from event_store.clock_changes import append_clock_changes, newest_clock_change
from event_store.database import Connection
from event_store.signing import HeadSigner

_SECONDS = 60.0
"""How long the newest event about the clock counts as known while the clock is right: other processes may add one."""


class ClockWatch:
    """The clock as one ingest process sees it. While the clock is right, an append costs no statement more."""

    def __init__(
        self,
        signer: HeadSigner,
        source: Source,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._signer = signer
        self._source = source
        self._clock = clock
        self._first = True
        self._deviates = False
        """Whether the newest event, as last read, says that the clock deviates."""
        self._read = 0.0
        self._pending: bool | None = None

    def record(self, connection: Connection, appended: Appended) -> Appended:
        """Append what has changed about the clock, in the batch's transaction. Returns the result with these events."""
        self._pending = None
        assert appended.database_clock is not None
        reading = ClockReading(
            position=appended.first,
            database_clock=appended.database_clock,
            behind=appended.clock_behind,
            at=self._clock(),
        )
        right = not any(reading.by(each) > limit for each, limit in TOLERANCES.items())
        if right and not self._deviates and not self._first and time.monotonic() - self._read < _SECONDS:
            return appended
        newest = newest_clock_change(connection)
        events = changes(newest, reading, self._source, first=self._first)
        if events:
            appended = append_clock_changes(connection, events, appended, self._signer)
        self._pending = _deviates(events[-1] if events else newest)
        return appended

    def committed(self) -> None:
        """The transaction of the last `record` is durable."""
        if self._pending is not None:
            self._first, self._deviates, self._read = False, self._pending, time.monotonic()


def _deviates(event: AuditEvent | None) -> bool:
    return event is not None and event.type != RECOVERED
