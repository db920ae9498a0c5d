"""The watcher's threads: the schedule with its checks, the one that judges and saves, and the one that publishes."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from domain.errors import FencedError, UnavailableError
from event_store.backoff import Backoff
from event_store.database import Database
from event_store.part_lock import PartLock
from watcher.blindness import BlindnessClock, Clocks
from watcher.bookkeeping import Book
from watcher.metrics import WatchMetrics
from watcher.observations import Observation
from watcher.publication import Publication, Publish
from watcher.schedule import Defect, Examine, Late, Result, Schedule
from watcher.store import WatchStore
from watcher.targets import TargetFile

log = structlog.get_logger(__name__)

PART = "watch"
_SAVE_SECONDS = 1.0
"""Between two saves while nothing is decided: a decision is saved at once."""
_LOCK_SECONDS = 5.0
"""Between two looks at the lock, and at most between two tries to get it."""
_PUBLISH_SECONDS = 8.0
"""How long the last events may take at the end."""


class Watcher:
    """Watches the targets of a file until `stop`. Of two watchers on one database, the second waits for the first."""

    def __init__(
        self,
        file: TargetFile,
        database: Database,
        examine: Examine,
        publish: Publish,
        *,
        threads: int,
        metrics: WatchMetrics | None = None,
        read_clocks: Callable[[], Clocks] = Clocks.read,
    ) -> None:
        self._file = file
        self._examine = examine
        self._threads = threads
        self._metrics = metrics or WatchMetrics()
        self._read_clocks = read_clocks
        store = WatchStore(database)
        self._lock = PartLock(database, PART)
        self._book = Book(store, file, self._metrics)
        self._publication = Publication(store, publish, self._metrics)
        self._stopping = threading.Event()
        self._waiting = Backoff()
        # The session of a watcher that has just ended may live on for a moment.
        self._queueing = Backoff(0.1, _LOCK_SECONDS)
        self._problem = "it is starting"
        self._active = False
        self._schedule: Schedule | None = None

    def problems(self) -> list[str]:
        """The problems that keep the watcher from its work, or none. It answers at once, to any thread."""
        late = 0.0 if self._schedule is None else self._schedule.late_seconds()
        return [
            *([self._problem] if self._problem else []),
            *([f"a check is {late:.0f} s late: all threads are busy"] if late > self._file.gap_after else []),
            *([f"events wait for Kafka: {self._publication.problem}"] if self._publication.problem else []),
        ]

    def state(self) -> str:
        """`standby` while another watcher looks."""
        return "ready" if self._active else "standby"

    def stop(self) -> None:
        """End `run`: what is decided is saved, and published once more."""
        self._stopping.set()

    def run(self) -> None:
        """Watch until `stop`. Raises `ConfigurationError` when the database is not set up for it."""
        publishing = threading.Thread(target=self._publication.run, name="publication", daemon=True)
        log.info("watcher_started", targets=len(self._file.targets))
        try:
            while not self._stopping.is_set():
                if self._became_active():
                    if not publishing.is_alive():
                        publishing.start()
                    self._watch()
        finally:
            self._publication.stop()
            if publishing.is_alive():
                publishing.join(_PUBLISH_SECONDS)
            self._lock.close()
        log.info("watcher_stopped")

    def _became_active(self) -> bool:
        """Wait for the lock, and open the book. Returns whether both are done; waits a little when not."""
        try:
            if self._lock.hold():
                self._book.open(datetime.now(UTC))
                self._problem = ""
                self._waiting.reset()
                self._queueing.reset()
                return True
            self._problem = ""
            self._stopping.wait(self._queueing.next())
        except UnavailableError as exc:
            self._problem = str(exc)
            log.warning("watcher_waits", error=self._problem)
            self._stopping.wait(self._waiting.next())
        except FencedError:
            log.warning("another_watcher_has_saved")
        return False

    def _watch(self) -> None:
        """Look, until the process stops or another watcher has taken over."""
        results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        clock = BlindnessClock(self._file.gap_after, self._read_clocks)
        schedule = Schedule(
            self._file.targets,
            self._examine,
            results,
            clock,
            threads=self._threads,
            gap_after=self._file.gap_after,
        )
        self._schedule, self._active = schedule, True
        self._metrics.active.set(1)
        self._metrics.show_lateness(schedule.late_seconds)
        self._publication.wake()
        schedule.start()
        log.info("watcher_looks")
        try:
            self._take(results, clock)
        except FencedError:
            log.warning("another_watcher_took_over")
        finally:
            schedule.stop()
            self._active = False
            self._metrics.active.set(0)
            self._metrics.hide_targets()

    def _take(self, results: queue.SimpleQueue[Result], clock: BlindnessClock) -> None:
        """Judge and save. Raises `FencedError` when another watcher has taken over."""
        backoff = Backoff(0.2, 5.0)
        save_at = lock_at = time.monotonic() + _SAVE_SECONDS
        while not self._stopping.is_set():
            found = _drain(results, _SAVE_SECONDS)
            if self._publication.defect is not None:
                raise self._publication.defect
            self._book.note(found, clock.gaps())
            now = time.monotonic()
            if now < save_at and not (self._book.is_due and not backoff.seconds):
                continue
            try:
                if now >= lock_at:
                    if not self._lock.hold():
                        raise FencedError("another process has the lock")
                    lock_at = now + _LOCK_SECONDS
                self._save()
                backoff.reset()
                save_at = time.monotonic() + _SAVE_SECONDS
            except UnavailableError as exc:
                self._problem = str(exc)
                save_at = time.monotonic() + backoff.next()
                log.warning("state_not_saved", error=self._problem)
        self._end(results, clock)

    def _save(self, *, stopped: bool = False) -> None:
        if self._book.save(datetime.now(UTC), stopped=stopped):
            self._publication.wake()
        self._problem = ""

    def _end(self, results: queue.SimpleQueue[Result], clock: BlindnessClock) -> None:
        """The last save. While the database is away it is left out, and the next start reports a longer gap."""
        self._book.note(_drain(results, 0), clock.gaps())
        try:
            self._save(stopped=True)
        except UnavailableError as exc:
            log.warning("last_state_not_saved", error=str(exc))


def _drain(results: queue.SimpleQueue[Result], seconds: float) -> list[Observation | Late]:
    """The results that are there; waits for the first one for at most `seconds`. Raises the error of a defect."""
    found: list[Observation | Late] = []
    wait = seconds
    while True:
        try:
            each = results.get(timeout=wait) if wait else results.get_nowait()
        except queue.Empty:
            return found
        if isinstance(each, Defect):
            raise each.error
        found.append(each)
        wait = 0.0
