"""Puts reads on record: events to Kafka, durable there before an answer is sent, many requests by one publication.

While one publication is under way the next events gather, and go together when it is done: nobody waits for a timer,
and fifty requests at once cost as much as one. While Kafka is away, answers are refused (or flagged) at once instead of
each waiting for a time-out; one task finds out when it is back.
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
from ingest.publisher import Message
from queries.thread_pool import Threads
from web.read_audit.metrics import RecordingMetrics
from web.read_audit.queue import Entry, Queue

log = structlog.get_logger(__name__)
T = TypeVar("T")

_PAUSES = (0.25, 0.5, 1.0, 2.0, 5.0)
"""Seconds between attempts while Kafka is away."""


class When(StrEnum):
    """When the record of a read has to be durable."""

    BEFORE = "before"
    AFTER = "after"


class Otherwise(StrEnum):
    """What becomes of an answer whose record can't be kept."""

    REFUSE = "refuse"
    FLAG = "flag"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingSettings:
    """`seconds`: how long an answer waits for its record. `max_waiting`: events that wait for Kafka at most."""

    topic: str = "audit.events"
    when: When = When.BEFORE
    otherwise: Otherwise = Otherwise.REFUSE
    seconds: float = 5.0
    max_waiting: int = 10_000
    max_bytes: int = MAX_BYTES


class RecordPublisher(Protocol):
    """See `ingest.publisher.Publisher`. Every method blocks and raises `AuditTrailError`."""

    def publish(self, messages: Sequence[Message]) -> None:
        """See Publisher."""
        ...

    def reach(self, topic: str) -> None:
        """See Publisher."""
        ...


class Recording:
    """The record of reads. Only for the event loop's thread; nothing here blocks it."""

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
        """Why reads can't be put on record now, empty when they can."""
        return self._trouble

    def start(self) -> None:
        """Connect, so that the first answer need not wait for it."""
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())

    async def keep(self, events: Sequence[AuditEvent]) -> bool:
        """Return when the answer that `events` tell of may be sent: whether they are, or will be, on record.

        Raises `UnrecordedError` when it may not. What was handed in is published also when the caller is cancelled.
        """
        if not events:
            return True
        if self.settings.when is When.AFTER:
            entry = self._entry(events)
            return self._put(entry) or self._unrecorded(entry)
        entry = self._entry(events, asyncio.get_running_loop().create_future())
        assert entry.told is not None
        if self._away or not self._put(entry):
            return self._unrecorded(entry)
        began = time.perf_counter()
        try:
            # Not cancelled with the caller: what was read is put on record also when its reader has gone.
            async with asyncio.timeout(self.settings.seconds):
                recorded = await asyncio.shield(entry.told)
        except TimeoutError:
            recorded = False
            self._queue.drop(entry)
        self.metrics.seconds.observe(time.perf_counter() - began)
        return recorded or self._unrecorded(entry)

    def later(self, events: Sequence[AuditEvent]) -> None:
        """Put `events` on record soon; nobody waits. They never take more than half of the room."""
        if not self._put(self._entry(events), 0.5):
            self.metrics.unrecorded.labels("dropped").inc(len(events))

    async def close(self, seconds: float = 5.0) -> None:
        """Publish what waits, for `seconds` at most; what is left then is lost, and the log says how much."""
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

    def _entry(self, events: Sequence[AuditEvent], told: asyncio.Future[bool] | None = None) -> Entry:
        return Entry(
            [
                Message(self.settings.topic, (event.actor.id or "").encode() or None, encode_event(event))
                for event in events
            ],
            told,
        )

    def _put(self, entry: Entry, share: float = 1.0) -> bool:
        """Whether there was room for it."""
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
        # The answer is given all the same, so its record is still wanted. One that is sent twice is recorded once.
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
        """Return when Kafka answers, or at once when nobody will ask any more."""
        for pause in chain(_PAUSES, repeat(_PAUSES[-1])):
            if await self._tried(self._publisher.reach, self.settings.topic):
                return
            self._queue.failed()
            await asyncio.sleep(pause)
            if self._closing:
                return

    async def _publish(self, batch: list[Entry]) -> bool:
        """Publish a batch and tell who waits. False when Kafka is away."""
        messages = [message for entry in batch for message in entry.messages]
        try:
            sent = await self._tried(self._publisher.publish, messages)
        except RejectedError as exc:
            if len(batch) > 1:  # one of them is refused, and the others need not be
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
        """Whether it went well. Raises `RejectedError` alone: any other failure means that reads can't be recorded."""
        try:
            await self._threads.run(function, argument)
        except RejectedError:
            raise
        except AuditTrailError as exc:
            self._is_away(str(exc), type(exc).__name__)
            return False
        except Exception as exc:  # noqa: BLE001 - the top of the loop: without it answers would wait for nobody
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
        self._away, self._trouble = True, f"reads can't be put on record: {why}"
        self.metrics.up.set(0)
