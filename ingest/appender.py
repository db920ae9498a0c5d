"""The append thread: one batch at a time, in order, while the next one is polled and decoded."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from uuid import UUID

import structlog

from domain.errors import FencedError, UnavailableError, UnstorableError
from domain.recording_clock import TOLERANCES, Deviation
from event_store.append import Appended, NewEvent, append
from event_store.backoff import Backoff
from event_store.database import Database
from event_store.dead_letters import NewDeadLetter
from event_store.notification import Announcer
from event_store.signing import HeadSigner
from event_store.storable import refusals
from event_store.tracing import OFF, Span, Tracer, within
from ingest.batch import Batch
from ingest.batch_bisection import pieces
from ingest.clock_watch import ClockWatch
from ingest.dead_letter_watch import DeadLetterWatch
from ingest.floods import bounded
from ingest.metrics import IngestMetrics
from ingest.own_source import own_source
from ingest.partitions.topics import Topics

log = structlog.get_logger(__name__)

_LINES = 20
"""Dead letters of one batch that get a log line each. Thousands in one second would fill the disk with lines."""
_FIELD_LENGTH = 200  # characters: the sender chooses the names in a field path


class Appender:
    """Appends batches on a separate thread; at most one is in flight.

    The COPY waits for PostgreSQL without the GIL, so that the polling thread decodes meanwhile. A batch is retried
    until it is committed, fenced, or `stopping` is set. It can't be lost, because Kafka still has it and its offsets
    have not moved. When the database refuses its content, the batch is appended in pieces, and the faulty message
    becomes a dead letter.
    """

    def __init__(
        self,
        database: Database,
        signer: HeadSigner,
        topics: Topics,
        metrics: IngestMetrics,
        stopping: threading.Event,
        *,
        tracer: Tracer = OFF,
    ) -> None:
        self._tracer = tracer
        self._database = database
        self._announcer = Announcer(database)
        self._signer = signer
        self._topics = topics
        self._metrics = metrics
        self._stopping = stopping
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="append")
        self._clock = ClockWatch(signer, own_source())
        self._letters = DeadLetterWatch(signer, own_source())
        self._batch: Batch | None = None
        self._future: Future[None] | None = None

    @property
    def in_flight(self) -> Batch | None:
        """The submitted batch, until `wait` has returned True or raised."""
        return self._batch

    def submit(self, batch: Batch) -> None:
        """Start to append `batch`. The previous one must be finished."""
        self._batch = batch
        self._future = self._thread.submit(self._traced, batch)

    def wait(self, seconds: float) -> bool:
        """Wait up to `seconds` for the batch in flight. Returns whether it is committed (or there is none).

        Raises the errors of the append: `FencedError` (nothing committed, read the offsets again), `UnavailableError`
        (stopping while a service is away, nothing committed), `LogInconsistentError` or `ConfigurationError` (stop).
        """
        if self._future is None:
            return True
        try:
            self._future.result(seconds)
        except NotYet:
            return False
        except BaseException:
            self._future = self._batch = None
            raise
        self._future = self._batch = None
        return True

    def close(self) -> None:
        """Wait for the append in flight, then end the thread."""
        self._thread.shutdown()

    def _traced(self, batch: Batch) -> None:
        with within(batch.span):
            self._until_committed(batch)

    def _until_committed(self, batch: Batch) -> None:
        backoff = Backoff()
        while True:
            try:
                with within(self._tracer.start("append", parent=batch.span)) as span:
                    self._append(batch, span)
            except UnavailableError as exc:
                delay = backoff.next()
                log.warning("append_waits", error=str(exc), records=batch.received, seconds=round(delay, 1))
                self._metrics.retried("append")
                if self._stopping.wait(delay):
                    raise
            except UnstorableError as exc:
                log.warning("batch_unstorable", error=str(exc), records=batch.received)
                for piece in pieces(batch, exc):
                    self._until_committed(piece)
                return
            else:
                return

    def _append(self, batch: Batch, span: Span) -> None:
        self._refuse_changed_topics(batch.topic_ids)
        conflicts: list[NewDeadLetter] = []

        def conflict_letter(event: NewEvent) -> NewDeadLetter:
            conflicts.append(batch.conflict_letter(event))
            return conflicts[-1]

        started = time.perf_counter()
        with self._database.transaction() as connection, refusals():
            appended = append(
                connection,
                batch.events,
                self._signer,
                offsets=batch.offsets,
                dead_letters=bounded(batch.dead_letters),
                conflict_letter=conflict_letter,
            )
            appended = self._clock.record(connection, appended)
            letters = [*batch.dead_letters, *conflicts]
            appended = self._letters.record(connection, appended, batch.counts, letters)
        self._clock.committed()
        self._letters.committed()
        if appended.size > appended.first:
            self._announcer.announce(appended.size, span.context)
        span.set(
            {
                "audit_trail.events": appended.accepted,
                "audit_trail.dead_letters": len(batch.dead_letters) + len(conflicts),
                "audit_trail.position.first": appended.first,
                "audit_trail.position.next": appended.size,
            }
        )
        self._committed(batch, conflicts, appended, time.perf_counter() - started)

    def _refuse_changed_topics(self, expected: Mapping[str, UUID]) -> None:
        """Raise `FencedError` unless the records come from the topic of the streams that they are appended to.

        Kafka's fetch (up to version 12, which the client supports) identifies topics by name. So a topic that was
        deleted and created again could return its own records at the offsets of the old one. The topic had the expected
        id before the fetch, and an id is never reused. So if it has that id after the fetch, it had it in between.
        """
        found = self._topics.describe(tuple(expected))
        for name, topic_id in expected.items():
            # A deleted topic delivered these records while it existed: they are valid.
            if name in found and found[name].id != topic_id:
                log.warning("topic_made_again", topic=name, old_id=str(topic_id), new_id=str(found[name].id))
                raise FencedError(f"topic {name} was deleted and created again")

    def _committed(
        self, batch: Batch, conflicts: list[NewDeadLetter], appended: Appended, seconds: float
    ) -> None:
        self._metrics.committed(batch, appended, seconds)
        if appended.clock_behind > TOLERANCES[Deviation.SET_BACK]:
            log.warning(
                "database_clock_set_back",
                seconds=round(appended.clock_behind.total_seconds(), 3),
                recorded_at=appended.recorded_at.isoformat(),
            )
        log_rejected([*batch.dead_letters, *conflicts])


def log_rejected(letters: Sequence[NewDeadLetter]) -> None:
    """Log the first `_LINES` dead letters of a batch individually, and the others grouped by partition and reason."""
    for letter in letters[:_LINES]:
        log.info(
            "record_rejected",
            reason=letter.reason.value,
            field=letter.field[:_FIELD_LENGTH],
            topic=letter.topic,
            partition=letter.partition,
            offset=letter.offset,
        )
    others: dict[tuple[str, int, str], list[int]] = {}
    for letter in letters[_LINES:]:
        others.setdefault((letter.topic, letter.partition, letter.reason.value), []).append(letter.offset)
    for (topic, partition, reason), offsets in others.items():
        log.warning(
            "records_rejected",
            reason=reason,
            topic=topic,
            partition=partition,
            offset=min(offsets),
            last_offset=max(offsets),
            dead_letters=len(offsets),
        )
