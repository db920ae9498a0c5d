"""One projector in a runner: the build that it feeds, where it is, and why it waits when it does."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from domain.event import RecordedEvent
from event_store.database import Database
from projections.definition import describe_failure
from projections.projector import Projector
from projections.registry import Build, misfit
from projections.writer import Writer

_log = logging.getLogger(__name__)

POISON_SECONDS = (5.0, 300.0)
"""First and longest pause before a poison event is tried again."""
FENCED_SECONDS = 1.0
"""Pause when a batch was fenced although the registry says what it said before."""

UNBUILT = (
    "waits: its first build is still being made, or was given up; `audit-trail projections rebuild` goes on"
)


class Track:
    """The state of one projector in this process. `stale` asks for another look at the registry."""

    def __init__(self, database: Database, projector: Projector) -> None:
        self.projector = projector
        self.position = -1
        self.stale = True
        self._database = database
        self._build: Build | None = None
        self._writer: Writer | None = None
        self._skipped: frozenset[int] = frozenset()
        self._parked: str | None = ""
        self._pause = 0.0
        self._retry_at = 0.0

    @property
    def feeding(self) -> bool:
        """Whether the registry lets this projector be fed."""
        return self._writer is not None and self._parked is None

    def due(self, now: float) -> bool:
        """Whether it may be fed at `now` (monotonic seconds)."""
        return self.feeding and self._retry_at <= now

    def look(self, build: Build | None, skipped: frozenset[int]) -> None:
        """Follow the registry: another build after a switch, another position after a reset, or no build at all."""
        fenced, self.stale = self.stale, False
        self._skipped = skipped
        reason: str | None = None
        if build is None:
            reason = UNBUILT
        elif build.paused:
            reason = "is paused"
        else:
            reason = misfit(self.projector, build) or None
        if reason != self._parked:
            if reason is not None:
                _log.warning("projection %s %s", self.projector.name, reason)
            elif self._parked:
                _log.info("projection %s goes on", self.projector.name)
            self._parked = reason
        if reason is not None or build is None:
            self.close()
            return
        if build.failed_position is None:
            self._pause = self._retry_at = 0.0
        if self._writer is None or self._build is None or self._build.build != build.build:
            self.close()
            self._writer = Writer(self._database, self.projector, build)
        elif fenced and self.position == build.position:
            # Nobody has moved on, so trying again at once would be fenced for ever.
            _log.warning("projection %s can't write to schema %s", self.projector.name, build.schema)
            self._retry_at = time.monotonic() + FENCED_SECONDS
        self._build, self.position = build, build.position

    def apply(self, events: Sequence[RecordedEvent], last: int) -> int:
        """Write a batch from `position` to `last`; the number of events that were not skipped."""
        assert self._writer is not None
        kept = [each for each in events if each.position not in self._skipped] if self._skipped else events
        self._writer.apply(kept, self.position, last)
        self.position = last
        self._pause = self._retry_at = 0.0
        return len(kept)

    def poisoned(self, event: RecordedEvent, cause: Exception) -> None:
        """Stop at this event until it is tried again."""
        assert self._writer is not None
        failure = describe_failure(self.projector, cause)
        _log.error("projection %s stopped at position %d: %s", self.projector.name, event.position, failure)
        self._writer.fail(event, failure)
        self._pause = min(max(self._pause * 2, POISON_SECONDS[0]), POISON_SECONDS[1])
        self._retry_at = time.monotonic() + self._pause

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
