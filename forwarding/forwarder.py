"""The forwarder: one thread for each follower, one that publishes decisions, and one that looks after them.

One process forwards. A second one waits until the first has ended.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime

import structlog

from domain.errors import (
    AuditTrailError,
    ConfigurationError,
    FencedError,
    RejectedError,
    UnavailableError,
    origin,
)
from domain.event import AuditEvent
from event_store.backoff import Backoff
from event_store.database import Database
from event_store.part_lock import PartLock
from forwarding.changes import change_event
from forwarding.follower import FollowerThread
from forwarding.metrics import ForwarderMetrics
from forwarding.refusals import Refusals
from forwarding.registry import Configured, FollowerState, Registry, Waiting
from projections.wakeup import WakeUp

log = structlog.get_logger(__name__)

PART = "forward"
"""The part of this process in the table of who works."""

_LOOK_SECONDS = 1.0
"""Between two looks at the registry: an operator's command waits so long."""
_PAUSES = (0.5, 15.0)
_LEAVE_SECONDS = 18.0
"""How long `run` waits after `stop` for requests in hand. A supervisor's SIGKILL commonly comes after 30."""
_SILENT_SECONDS = 30.0

Report = Callable[[AuditEvent], None]
"""Publishes an event, which takes the normal way into the trail."""


class Forwarder:
    """Runs the followers until `stop`."""

    def __init__(
        self,
        database: Database,
        configured: Sequence[Configured],
        threads: Sequence[FollowerThread],
        report: Report,
        metrics: ForwarderMetrics,
    ) -> None:
        """`configured` and `threads` are the followers of the file."""
        self._registry = Registry(database)
        self._refusals = Refusals(database)
        self._kept: dict[str, int] = {}
        self._lock = PartLock(database, PART)
        self._wakeup = WakeUp(database)
        self._configured = configured
        self._followers = {each.name: each for each in threads}
        self._decisions = Decisions(self._registry, report, self._decided)
        self._metrics = metrics
        self._changed: dict[str, datetime] = {}
        self._running: list[threading.Thread] = []
        self._holds = False
        self._configured_in: int | None = None
        self._away = "it is starting"
        self._seen = time.monotonic()

    def problems(self) -> list[str]:
        """What keeps followers from delivering, or none. It answers at once, to any thread."""
        if self._away:
            return [self._away]
        if (silent := time.monotonic() - self._seen) > _SILENT_SECONDS:
            return [f"the database does not answer since {silent:.0f} s"]
        if not self._holds:
            return []
        followers = [
            f"follower {each.name}: {each.problem}" for each in self._followers.values() if each.problem
        ]
        kept = [
            f"follower {name}: {kept_text(count)}"
            for name, count in sorted(self._kept.items())
            if name in self._followers
        ]
        return [*followers, *kept, *self._decisions.problems()]

    def state(self) -> str:
        """`ready`, or `standby` while another process forwards."""
        return "ready" if self._holds else "standby"

    def stop(self) -> None:
        """End `run`, after the requests in hand. May be called from any thread and from a signal handler."""
        self._wakeup.stop()

    def run(self) -> None:
        """Forward until `stop`.

        Raises `ConfigurationError` when the database lacks the tables or the rights, and `FencedError` when another
        process has taken over, which it can while this one does not reach the database.
        """
        backoff = Backoff(*_PAUSES)
        log.info("forwarder_started", followers=sorted(self._followers))
        try:
            while not self._wakeup.stopped:
                try:
                    self._look()
                    backoff.reset()
                    self._wakeup.listen()
                    self._wakeup.wait(_LOOK_SECONDS)
                except UnavailableError as exc:
                    self._away = str(exc)
                    seconds = backoff.next()
                    log.warning("forwarder_waits", error=str(exc), seconds=round(seconds, 1))
                    self._wakeup.pause(seconds)
        finally:
            self._end()
            log.info("forwarder_stopped")

    def _look(self) -> None:
        """Hold the lock, and pass on what has changed."""
        holds = self._lock.hold()
        self._seen, self._away = time.monotonic(), ""
        self._metrics.active(holds=holds)
        if not holds and self._running:
            raise FencedError("another process forwards now: this one ends")
        if holds and self._configured_in != self._lock.mark:
            self._configure()
            self._configured_in = self._lock.mark
        if holds and not self._running:
            self._begin()
        if holds != self._holds:
            log.info("forwards" if holds else "standby")
        self._holds = holds
        if holds:
            waiting, self._kept = self._registry.waiting(), self._refusals.counts()
            for state in self._registry.followers():
                if state.name in self._followers:
                    self._pass_on(state, waiting.get(state.name, Waiting(0, 0.0)))

    def _pass_on(self, state: FollowerState, waiting: Waiting) -> None:
        decided = self._changed.get(state.name) not in (None, state.changed_at)
        self._changed[state.name] = state.changed_at
        self._metrics.show(state, waiting, self._kept.get(state.name, 0))
        if state.unpublished:
            self._decisions.wake()
        if decided or waiting.events:
            self._followers[state.name].wake(decided=decided)

    def _decided(self, name: str) -> None:
        """The trail has a decision about this follower."""
        if name in self._followers:
            self._followers[name].wake(decided=True)

    def _configure(self) -> None:
        """Store what the file says, each time the lock is taken: another process may have stored its own file."""
        for name, decision in self._registry.configure(self._configured):
            log.info("follower_decided", follower=name, decision=decision.value)

    def _begin(self) -> None:
        work = {each.name: each.run for each in self._followers.values()}
        work["decisions"] = self._decisions.run
        for name, run in work.items():
            thread = threading.Thread(target=run, name=f"forward {name}", daemon=True)
            thread.start()
            self._running.append(thread)

    def _end(self) -> None:
        for each in self._followers.values():
            each.stop()
        self._decisions.stop()
        until = time.monotonic() + _LEAVE_SECONDS
        for thread in self._running:
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                log.warning("follower_left_behind", thread=thread.name)
        self._wakeup.close()
        self._lock.close()


class Decisions:
    """Publishes the decisions that the trail does not have yet, in its own thread: Kafka may be away."""

    def __init__(self, registry: Registry, report: Report, published: Callable[[str], None]) -> None:
        """`published` is called with the name of a follower when the trail has a decision about it."""
        self._registry = registry
        self._report = report
        self._published = published
        self._problem = ""
        self._stopping = threading.Event()
        self._woken = threading.Event()

    def problems(self) -> list[str]:
        """Why the trail lacks a decision, or none."""
        return [f"decisions about followers are not in the trail: {self._problem}"] if self._problem else []

    def wake(self) -> None:
        """Look now."""
        if not self._problem:
            self._woken.set()

    def stop(self) -> None:
        """End `run`."""
        self._stopping.set()
        self._woken.set()

    def run(self) -> None:
        """Publish until `stop`."""
        backoff = Backoff(*_PAUSES)
        while not self._stopping.is_set():
            self._woken.clear()
            try:
                publish_decisions(self._registry, self._report, published=self._published)
            except AuditTrailError as exc:
                self._problem = str(exc)
                log.warning("decisions_not_published", error=str(exc))
                self._woken.wait(backoff.next())
            except Exception as exc:  # noqa: BLE001 - it goes on, visibly: without it followers would wait for ever
                self._problem = f"a defect, which is in the log of `forward`: {type(exc).__name__}"
                log.error("decisions_defect", **origin(exc))  # noqa: TRY400 - values may be quoted
                self._woken.wait(backoff.next())
            else:
                self._problem = ""
                backoff.reset()
                self._woken.wait()


def kept_text(count: int) -> str:
    """What to do about refused records."""
    return (
        f"{count} refused {'record waits' if count == 1 else 'records wait'} for a decision: see `audit-trail forward"
        " refused`"
    )


def publish_decisions(
    registry: Registry,
    report: Report,
    follower: str | None = None,
    published: Callable[[str], None] = lambda _: None,
) -> None:
    """Publish the decisions that the trail does not have yet. After a crash the same events are published again.

    Raises `UnavailableError` while Kafka is away.
    """
    for change in registry.unpublished(follower):
        try:
            report(change_event(change))
        except RejectedError as exc:
            raise ConfigurationError(f"the decision {change.id} can't be published: {exc}") from exc
        registry.published(change)
        published(change.follower)
