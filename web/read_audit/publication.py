"""Publishes access records to Kafka, where they are durable before an answer is sent.

While one publication runs, the next records gather, and are published together when it is done. There is no timer, and
fifty concurrent requests cost as much as one. While Kafka is away, answers are refused (or flagged) at once instead of
waiting for a time-out; one task finds out when it is back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, repeat
from typing import Protocol, TypeVar

import structlog

from domain.errors import AuditTrailError, RejectedError, UnrecordedError, origin
from domain.event import AuditEvent
from domain.read_audit.events import MAX_BYTES
from domain.validation import encode_event
from event_store import tracing
from ingest.publisher import Message
from queries.thread_pool import Threads
from web.read_audit.metrics import RecordingMetrics
from web.read_audit.queue import Entry, Queue

log = structlog.get_logger(__name__)
T = TypeVar("T")

_PAUSES = (0.25, 0.5, 1.0, 2.0, 5.0)
"""Seconds between attempts while Kafka is away."""


class When(StrEnum):
    """When an access record has to be durable."""

    BEFORE = "before"
    AFTER = "after"


class Otherwise(StrEnum):
    """What happens to an answer whose reads can't be recorded."""

    REFUSE = "refuse"
    FLAG = "flag"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingSettings:
    """`seconds`: how long an answer waits for its record. `max_waiting`: the most events that wait for Kafka."""

    topic: str = "audit.events"
    when: When = When.BEFORE
    otherwise: Otherwise = Otherwise.REFUSE
    seconds: float = 5.0
    max_waiting: int = 10_000
    max_bytes: int = MAX_BYTES


class RecordPublisher(Protocol):
    """`ingest.publisher.Publisher`. Every method blocks and raises `AuditTrailError`."""

    def publish(self, messages: Sequence[Message]) -> None:
        """Return when all in-sync replicas have the messages."""
        ...

    def reach(self, topic: str) -> None:
        """Return when the topic can be written."""
        ...


class Recording:
    """The publication of access records. Only for the event loop's thread, which it never blocks."""

    def __init__(
        self,
        publisher: RecordPublisher,
        settings: RecordingSettings | None = None,
        metrics: RecordingMetrics | None = None,
    ) -> None:
        self.settings = settings or RecordingSettings()
        self.metrics = metrics or RecordingMetrics()
        self._publisher = publisher
        self._threads = Threads(1, "recording")
        self._queue = Queue(self.settings.max_waiting)
        self._wanted = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._trouble = "not connected to Kafka yet"
        self._away = False
        self._closing = False

    @property
    def trouble(self) -> str:
        """The reason why reads can't be recorded now; empty when they can."""
        return self._trouble

    @property
    def waiting(self) -> int:
        """How many records wait for Kafka."""
        return self._queue.events

    def start(self) -> None:
        """Connect, so that the first answer does not wait for the connection."""
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())

    async def keep(self, events: Sequence[AuditEvent]) -> bool:
        """Return when the answer may be sent: True if its records `events` are, or will be, durable.

        Raises `UnrecordedError` when it may not be sent. The records are published even if the caller is cancelled.
        """
        if not events:
            return True
        if self.settings.when is When.AFTER:
            entry = self._entry(events)
            return self._put(entry) or self._unrecorded(entry)
        entry = self._entry(events, asyncio.get_running_loop().create_future())
        assert entry.outcome is not None
        if self._away or not self._put(entry):
            return self._unrecorded(entry)
        began = time.perf_counter()
        try:
            # Not cancelled with the caller: reads are recorded also when the client has gone.
            async with asyncio.timeout(self.settings.seconds):
                recorded = await asyncio.shield(entry.outcome)
        except TimeoutError:
            recorded = False
            self._queue.drop(entry)
        self.metrics.seconds.observe(time.perf_counter() - began)
        return recorded or self._unrecorded(entry)

    def later(self, events: Sequence[AuditEvent]) -> None:
        """Publish `events` soon; the caller does not wait. They never fill more than half of the queue."""
        if not self._put(self._entry(events), 0.5):
            self.metrics.unrecorded.labels("dropped").inc(len(events))

    async def close(self, seconds: float = 5.0) -> None:
        """Publish pending events for at most `seconds`. The rest is lost, and the log says how many."""
        self._closing = True
        if self._worker is not None:
            self._wanted.set()
            await asyncio.wait((self._worker,), timeout=seconds)
            self._worker.cancel()
            await asyncio.wait((self._worker,))
        self._queue.failed()
        if self._queue.events:
            log.error("reads_unrecorded_at_stop", events=self._queue.events)
        await asyncio.to_thread(self._threads.close)

    def _entry(self, events: Sequence[AuditEvent], outcome: asyncio.Future[bool] | None = None) -> Entry:
        headers = tracing.current_headers()
        return Entry(
            [
                Message(
                    self.settings.topic, (event.actor.id or "").encode() or None, encode_event(event), headers
                )
                for event in events
            ],
            outcome,
        )

    def _put(self, entry: Entry, share: float = 1.0) -> bool:
        """Whether there was room in the queue."""
        if self._closing or not self._queue.has_room(entry, share):
            return False
        self._queue.put(entry)
        self.metrics.waiting.set(self._queue.events)
        self.start()
        self._wanted.set()
        return True

    def _unrecorded(self, entry: Entry) -> bool:
        if self.settings.otherwise is Otherwise.REFUSE:
            self.metrics.unrecorded.labels("refused").inc()
            raise UnrecordedError
        self.metrics.unrecorded.labels("flagged").inc()
        # The answer is sent, so its record is published later. A record that is sent twice is recorded once.
        self._put(Entry(entry.messages))
        return False

    async def _work(self) -> None:
        await self._connect()
        while self._queue or not self._closing:
            await self._wanted.wait()
            self._wanted.clear()
            while self._queue and await self._publish(self._queue.take()):
                pass
            if self._away:
                await self._connect()
                self._wanted.set()

    async def _connect(self) -> None:
        """Return when Kafka answers, or when the publication is closing."""
        for pause in chain(_PAUSES, repeat(_PAUSES[-1])):
            if await self._tried(self._publisher.reach, self.settings.topic):
                return
            self._queue.failed()
            await asyncio.sleep(pause)
            if self._closing:
                return

    async def _publish(self, batch: list[Entry]) -> bool:
        """Publish a batch and wake the waiting requests. False when Kafka is away."""
        messages = [message for entry in batch for message in entry.messages]
        try:
            sent = await self._tried(self._publisher.publish, messages)
        except RejectedError as exc:
            if len(batch) > 1:  # Kafka refuses one of them; the others may be accepted
                return all([await self._publish([entry]) for entry in batch])
            log.error("read_not_recordable", reason=exc.reason.value)  # noqa: TRY400 - no defect, and no trace
            self.metrics.failed.inc()
            self._queue.done(batch[0], recorded=False)
            return True
        if sent:
            self.metrics.recorded.inc(len(messages))
            for entry in batch:
                self._queue.done(entry, recorded=True)
        else:
            self.metrics.failed.inc()
            self._queue.failed(batch)
        self.metrics.waiting.set(self._queue.events)
        return sent

    async def _tried(self, function: Callable[[T], None], argument: T) -> bool:
        """Whether it succeeded. Raises only `RejectedError`: any other failure means that nothing can be recorded."""
        try:
            await self._threads.run(function, argument)
        except RejectedError:
            raise
        except AuditTrailError as exc:
            self._is_away(str(exc), type(exc).__name__)
            return False
        except Exception as exc:  # noqa: BLE001 - the top of the loop: without it answers would wait for ever
            self._is_away("an unexpected error; it is in the server's log", type(exc).__name__)
            log.error("recording_failed", **origin(exc))  # noqa: TRY400 - a traceback repeats the exception's text
            return False
        if self._away:
            log.info("reads_recordable")
        self._away, self._trouble = False, ""
        self.metrics.up.set(1)
        return True

    def _is_away(self, why: str, error: str) -> None:
        if not self._away:
            log.error("reads_not_recordable", error=error)
        self._away, self._trouble = True, f"reads can't be recorded: {why}"
        self.metrics.up.set(0)
