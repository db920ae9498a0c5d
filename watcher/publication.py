"""Publishes the watcher's events, in a thread of its own: while Kafka is away, checks and decisions go on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import structlog

from domain.errors import AuditTrailError
from event_store.backoff import Backoff
from watcher.metrics import WatchMetrics
from watcher.store import Undelivered, WatchStore

log = structlog.get_logger(__name__)

Publish = Callable[[Sequence[Undelivered]], None]
"""Publishes events in their order. Returns when Kafka has all of them; raises `AuditTrailError` otherwise."""

_BATCH = 100
_PAUSES = (1.0, 30.0)
"""First and longest pause, in seconds, before the next attempt."""


class Publication:
    """Publishes what is decided and not delivered. `problem` says why the last attempt failed.

    `defect` is the error of a defect of the program, which ended `run`. Whoever started it raises it.
    """

    def __init__(self, store: WatchStore, publish: Publish, metrics: WatchMetrics) -> None:
        self._store = store
        self._publish = publish
        self._metrics = metrics
        self._woken = threading.Event()
        self._woken.set()  # what an earlier process left is published first
        self._stopping = threading.Event()
        self._backoff = Backoff(*_PAUSES)
        self.problem = ""
        self.defect: BaseException | None = None

    def wake(self) -> None:
        """There is something to publish."""
        self._woken.set()

    def stop(self) -> None:
        """Let `run` end, after one more attempt."""
        self._stopping.set()
        self._woken.set()

    def run(self) -> None:
        """Publish until `stop`, and once more then."""
        try:
            self._run()
        except BaseException as exc:  # noqa: BLE001 - raised again by the watcher
            self.defect = exc

    def _run(self) -> None:
        last = False
        while not last:
            last = self._stopping.is_set()
            if not last:
                self._woken.wait(self._backoff.seconds or None)
                self._woken.clear()
            self._deliver()

    def _deliver(self) -> None:
        try:
            while events := self._store.undelivered(_BATCH):
                self._metrics.waiting.set(len(events))
                self._publish(events)
                self._metrics.waiting.set(self._store.delivered(events))
        except AuditTrailError as exc:
            self.problem = str(exc)
            log.warning("events_not_published", error=self.problem, again_in=self._backoff.next())
        else:
            self.problem = ""
            self._backoff.reset()
