"""The state of one projector in a runner: its build, its position, and why it waits."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

from domain.errors import AuditTrailError, FencedError
from domain.event import RecordedEvent
from event_store.backoff import Backoff
from event_store.database import Database
from projections.build_state import misfit
from projections.errors import LimitError
from projections.fingerprints import code_digest, describe_failure
from projections.projector import Projector
from projections.registry import Build
from projections.writer import Prepared, Writer

_log = logging.getLogger(__name__)

POISON_SECONDS = (5.0, 300.0)
"""First and longest pause before a poison event is tried again."""
FENCED_SECONDS = 1.0
"""Pause when a batch was fenced although the registry has not changed."""

UNBUILT = "waits: its first build is still being made, or was given up; `audit-trail projections rebuild` continues it"


class Group(NamedTuple):
    """Tracks at the same `position`. `limit` is how many events to read next for them."""

    position: int
    limit: int
    tracks: list[Track]


def groups(tracks: Sequence[Track], batch: int) -> Iterator[Group]:
    """The tracks by position, the furthest behind first, each with at most `batch` events to read.

    A group reads up to the position of the next one: there the two meet, and read the log together.
    """
    positions = sorted({track.position for track in tracks})
    for position, following in zip_longest(positions, positions[1:]):
        limit = batch if following is None else min(batch, following - position)
        yield Group(position, limit, [track for track in tracks if track.position == position])


class Track:
    """The state of one projector in this process.

    `stale` asks the runner to read the registry again. `built`: whether a build is live. `failure`: the position of the
    event that stops it, and why.
    """

    def __init__(self, database: Database, projector: Projector) -> None:
        self.projector = projector
        self.position = -1
        self.stale = True
        self.built = False
        self.failure: tuple[int, str] | None = None
        self._database = database
        self._build: Build | None = None
        self._writer: Writer | None = None
        self._skipped: frozenset[int] = frozenset()
        self._parked: str | None = ""
        self._backoff = Backoff(*POISON_SECONDS)
        self._retry_at = 0.0
        self._most = 0
        self._ceiling = 0

    @property
    def feeding(self) -> bool:
        """Whether the registry allows feeding this projector."""
        return self._writer is not None and self._parked is None

    @property
    def parked(self) -> str:
        """Why the registry does not allow it; empty when it does."""
        return self._parked or ""

    @property
    def at(self) -> tuple[int, int]:
        """The number of its build (0 for none), and the position."""
        return (0 if self._build is None else self._build.build, self.position)

    @property
    def writer(self) -> Writer:
        """The writer of the build's tables. There is one while the track is feeding."""
        assert self._writer is not None
        return self._writer

    def stopped(self) -> bool:
        """Whether an event stops it."""
        return self.failure is not None

    def due(self, now: float) -> bool:
        """Whether it may get events at `now` (monotonic seconds)."""
        return self.feeding and self._retry_at <= now

    def update(self, build: Build | None, skipped: frozenset[int]) -> None:
        """Follow the registry: another build after a switch, another position after a reset, or no build at all."""
        fenced, self.stale = self.stale, False
        self._skipped = skipped
        self.built = build is not None
        reason: str | None = None
        if build is None:
            reason = UNBUILT
        elif build.paused:
            reason = "is paused"
        else:
            wrong = misfit(self.projector, build)
            reason = str(wrong) if wrong else None
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
            self.failure = None
            self._backoff.reset()
            self._retry_at = 0.0
        if self._writer is None or self._build is None or self._build.build != build.build:
            self.close()
            if build.code_digest and build.code_digest != code_digest(self.projector):
                # Other code need not mean other rows: a release touches a file for its comments too.
                _log.warning(
                    "projection %s: the source has changed since build %d was begun; if other rows come out of it,"
                    " raise its version and rebuild",
                    self.projector.name,
                    build.build,
                )
            self._writer = Writer(self._database, self.projector, build)
        elif fenced and self.position == build.position:
            # No other process has moved on. A retry without a pause would be fenced again and again.
            _log.warning("projection %s can't write to schema %s", self.projector.name, build.schema)
            self._retry_at = time.monotonic() + FENCED_SECONDS
        self._build, self.position = build, build.position
        self._writer.skip(skipped)

    def feed(self, events: Sequence[RecordedEvent], last: int) -> int:
        """Write a batch from `position` to `last`. Returns how many events were applied, without the skipped ones.

        A fence sets `stale`. An event that breaks the projector stops it there, and all events before it are kept.
        Raises `AuditTrailError` in all other cases.
        """
        kept = [each for each in events if each.position not in self._skipped] if self._skipped else events
        if 0 < self._most < len(kept):
            kept, last = kept[: self._most], kept[self._most].position - 1
        try:
            self.writer.apply(kept, self.position, last)
        except FencedError:
            self.stale = True
            return 0
        except AuditTrailError:
            raise
        except LimitError as exc:
            return self._slow_down(kept, exc)
        except Exception as exc:  # noqa: BLE001 - a projector may be anyone's code, and must stop itself alone
            return self._narrow(kept, last, exc)
        self.position = last
        self._backoff.reset()
        self._retry_at = 0.0
        self._most = min(self._most * 4, self._ceiling)
        return len(kept)

    def prepare(self, events: Sequence[RecordedEvent], last: int) -> Prepared:
        """The encoded rows of these events, from `position` to `last`, without the skipped ones."""
        kept = [each for each in events if each.position not in self._skipped]
        return self.writer.prepare(kept, self.position, last)

    def _narrow(self, events: Sequence[RecordedEvent], last: int, cause: Exception) -> int:
        """Split the batch until the faulty event is alone."""
        if not events:
            raise cause
        if len(events) == 1:
            self._stop_at(events[0], cause)
            return 0
        half = len(events) // 2
        middle = events[half].position - 1
        applied = self.feed(events[:half], middle)
        return applied + self.feed(events[half:], last) if self.position == middle else applied

    def _slow_down(self, events: Sequence[RecordedEvent], cause: LimitError) -> int:
        """Report at once that a batch exceeds a limit, and try one event after a pause: halving would take minutes.

        After a success the batches grow again, to half of the size that was too much.
        """
        if not events:
            raise cause
        if len(events) == 1:
            self._stop_at(events[0], cause)
        else:
            self._most, self._ceiling = 1, len(events) // 2
            self._wait_at(events[0], cause)
        return 0

    def _stop_at(self, event: RecordedEvent, cause: Exception) -> None:
        self.failure = (event.position, self._wait_at(event, cause))

    def _wait_at(self, event: RecordedEvent, cause: Exception) -> str:
        """Record the failure, and wait. Returns its description."""
        failure = describe_failure(self.projector, cause)
        _log.error("projection %s stopped at position %d: %s", self.projector.name, event.position, failure)
        self.writer.fail(event, failure)
        self._retry_at = time.monotonic() + self._backoff.next()
        return failure

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
