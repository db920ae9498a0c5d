"""The runner: reads each batch of the log once and feeds it to the live build of every projector at that position.

Failures: the database away is **retry**, with a growing pause. An event that breaks a projector **stops** that
projector there, visibly, and it is tried again after a growing pause; the others continue. A projector whose code does
not fit its tables **stops** too, and what to do is logged and shown.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from domain.errors import UnavailableError
from domain.event import RecordedEvent
from event_store.backoff import Backoff
from event_store.database import Database
from event_store.event_reader import EventBatch, read_events
from event_store.tracing import NO_SPAN, OFF, Kind, Span, Tracer, within
from projections.health import RunnerHealth
from projections.metrics import RunnerMetrics
from projections.projector import Projector
from projections.projector_state import Track, groups
from projections.registry import live_builds, register, skipped
from projections.wakeup import WakeUp

_log = logging.getLogger(__name__)

BATCH = 5000
"""Events read at once. The database's share of the work is a fifth less than with 2,000, for some 20 MB of memory."""
POLL_SECONDS = 1.0
"""The longest that an event waits when its NOTIFY is lost, and an operator's command when it fences no batch."""
RETRY_SECONDS = (0.2, 5.0)
"""First and longest pause while the database is away."""


class Runner:
    """Keeps the read models of `projectors` up to date. A second runner on the same database is harmless.

    It feeds a projector's live build alone, and follows the registry: a pause, a reset or a switch by another process
    fences its next batch, after which it reads the registry again. Beside the pool of `database` it opens one
    connection per projector, and one that listens.
    """

    def __init__(
        self,
        database: Database,
        projectors: Sequence[Projector],
        *,
        batch: int = BATCH,
        metrics: RunnerMetrics | None = None,
        tracer: Tracer = OFF,
    ) -> None:
        self._tracer = tracer
        self._database = database
        self._projectors = projectors
        self._batch = batch
        self._metrics = metrics
        self.health = RunnerHealth()
        self._tracks: list[Track] = []
        self._registry_read_at = 0.0
        self._wakeup = WakeUp(database)
        self._ahead: tuple[int, EventBatch] | None = None

    def run(self) -> None:
        """Run until `stop`. Raises errors that need an operator: `ConfigurationError`, `LogInconsistentError`."""
        backoff = Backoff(*RETRY_SECONDS)
        self.health.started([each.name for each in self._projectors], self._batch)
        with ThreadPoolExecutor(len(self._projectors), "projector") as pool:
            try:
                while not self._wakeup.stopped:
                    try:
                        self._wakeup.listen()
                        while self._step(pool) and not self._wakeup.stopped:
                            backoff.reset()
                            self.health.step_completed()
                        self.health.step_completed()
                        self._wakeup.wait(POLL_SECONDS)
                    except UnavailableError as exc:
                        self.health.waits(str(exc))
                        seconds = backoff.next()
                        _log.warning("projections: %s; next try in %.1f s", exc, seconds)
                        self._wakeup.pause(seconds)
            finally:
                self._close()
                self.health.stopped()

    def catch_up(self) -> None:
        """Apply everything that the log holds now, in this thread's time, and return."""
        with ThreadPoolExecutor(len(self._projectors), "projector") as pool:
            try:
                while self._step(pool):
                    pass
            finally:
                self._close()

    def stop(self) -> None:
        """End `run` after the batch in hand. May be called from any thread and from a signal handler."""
        self._wakeup.stop()

    def _close(self) -> None:
        for track in self._tracks:
            track.close()
        self._tracks = []
        self._ahead = None
        self._wakeup.close()

    def _step(self, pool: ThreadPoolExecutor) -> bool:
        """One batch for the projectors that are furthest behind; False when there is nothing to do."""
        now = time.monotonic()
        if (
            now - self._registry_read_at >= POLL_SECONDS
            or any(track.stale for track in self._tracks)
            or not self._tracks
        ):
            self._read_registry()
        due = [track for track in self._tracks if track.due(now)]
        for position, limit, behind in groups(due, self._batch):
            batch = self._read(position, limit)
            if batch.last > position:
                with within(self._span(position, batch)) as span:
                    self._feed(pool, behind, batch, span)
                return True
        return False

    def _read_registry(self) -> None:
        """Read the registry's state of every projector."""
        tracks = self._tracks or [Track(self._database, each) for each in self._projectors]
        for track in tracks:
            if not track.built:  # at the beginning, and when its builds were dropped
                register(self._database, track.projector)
        self._tracks = tracks
        with self._database.transaction(read_only=True) as connection:
            builds = live_builds(connection)
            skips = skipped(connection, [track.projector.name for track in tracks])
        for track in tracks:
            build = builds.get(track.projector.name)
            before = track.at
            track.update(build, skips.get(track.projector.name, frozenset()))
            self.health.registry_read(track, build, before)
            if self._metrics is not None and build is not None:
                self._metrics.registry_read(build, feeding=track.feeding)
        self.health.log_changes()
        self._registry_read_at = time.monotonic()

    def _read(self, after: int, limit: int) -> EventBatch:
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] == after and 0 < ahead[1].last - after <= limit:
            return ahead[1]
        with self._database.transaction(read_only=True) as connection:
            return read_events(connection, after, limit)

    def _span(self, after: int, batch: EventBatch) -> Span:
        """The span of a batch, with links to the appends of its events."""
        if not self._tracer.on:
            return NO_SPAN
        return self._tracer.start(
            "project",
            Kind.CONSUMER,
            links=self._wakeup.appends_between(after, batch.last),
            attributes={
                "audit_trail.events": len(batch.events),
                "audit_trail.position.first": after + 1,
                "audit_trail.position.next": batch.last + 1,
            },
        )

    def _feed(self, pool: ThreadPoolExecutor, tracks: list[Track], batch: EventBatch, span: Span) -> None:
        jobs = [pool.submit(self._apply, track, batch.events, batch.last, span) for track in tracks]
        try:
            # While the database writes this batch, read the next.
            self._ahead = (batch.last, self._read(batch.last, self._batch))
        finally:
            errors = [error for error in (job.exception() for job in jobs) if error is not None]
        for error in errors:
            raise error

    def _apply(self, track: Track, events: Sequence[RecordedEvent], last: int, span: Span) -> None:
        began = time.monotonic()
        at = track.position
        name = track.projector.name
        with within(
            self._tracer.start(f"apply {name}", parent=span, attributes={"audit_trail.projection": name})
        ) as part:
            applied = track.feed(events, last)
            part.set({"audit_trail.applied": applied, "audit_trail.position.next": track.position + 1})
        if track.position != at:
            self.health.applied(applied)
        if self._metrics is not None:
            self._metrics.applied(track.projector.name, track.position, applied, time.monotonic() - began)
