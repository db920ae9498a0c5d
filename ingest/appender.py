"""The thread that appends: one batch at a time, in order, while the next one is polled and decoded."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from uuid import UUID

import structlog

from domain.errors import FencedError, UnavailableError, UnstorableError
from event_store.append import Appended, NewEvent, append
from event_store.backoff import Backoff
from event_store.database import Database
from event_store.dead_letters import NewDeadLetter
from event_store.notification import Announcer
from event_store.signing import HeadSigner
from event_store.storable import refusals
from ingest.batch import Batch
from ingest.batch_bisection import pieces
from ingest.floods import bounded
from ingest.metrics import IngestMetrics
from ingest.partitions.topics import Topics

log = structlog.get_logger(__name__)

_LINES = 20
"""Dead letters of one batch that get a log line each. Thousands in one second would fill the disk with lines."""
_SHOWN = 200  # characters: a field's path can hold a name as long as its sender likes


class Appender:
    """Appends batches on a thread of its own; at most one is in flight.

    The COPY waits for PostgreSQL without holding Python's lock, so that the polling thread decodes meanwhile.
    A batch is retried until it is committed, fenced, or `stopping` is set: nothing of it can be lost, because Kafka
    still has it and its offsets have not moved. When the database refuses what is in it, it is appended in pieces, and
    the message at fault becomes a dead letter.
    """

    def __init__(
        self,
        database: Database,
        signer: HeadSigner,
        topics: Topics,
        metrics: IngestMetrics,
        stopping: threading.Event,
    ) -> None:
        self._database = database
        self._announcer = Announcer(database)
        self._signer = signer
        self._topics = topics
        self._metrics = metrics
        self._stopping = stopping
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="append")
        self._batch: Batch | None = None
        self._future: Future[None] | None = None

    @property
    def in_flight(self) -> Batch | None:
        """The batch that was submitted and not yet waited for."""
        return self._batch

    def submit(self, batch: Batch) -> None:
        """Start to append `batch`. The one before must have been waited for."""
        self._batch = batch
        self._future = self._thread.submit(self._until_committed, batch)

    def wait(self, seconds: float) -> bool:
        """Whether the batch in flight is committed (or there is none) within `seconds`.

        Raises what its append raised: `FencedError` (nothing committed, read the offsets again), `UnavailableError`
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
        """Wait for the append in flight and end the thread."""
        self._thread.shutdown()

    def _until_committed(self, batch: Batch) -> None:
        backoff = Backoff()
        while True:
            try:
                self._append(batch)
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

    def _append(self, batch: Batch) -> None:
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
        if appended.accepted:
            self._announcer.announce(appended.size)
        self._committed(batch, conflicts, appended, time.perf_counter() - started)

    def _refuse_changed_topics(self, expected: Mapping[str, UUID]) -> None:
        """The records must come from the topic whose stream they are appended to.

        Kafka's fetch (up to version 12, which the client speaks) names topics by name, so a topic that was deleted and
        made again could answer with its own records at the old one's offsets. It had the expected id before the
        fetch; an id never comes back; so when it has it after the fetch, it had it in between.
        """
        found = self._topics.describe(tuple(expected))
        for name, topic_id in expected.items():
            # A topic that is gone altogether gave these records while it was there: they are kept.
            if name in found and found[name].id != topic_id:
                log.warning("topic_made_again", topic=name, old_id=str(topic_id), new_id=str(found[name].id))
                raise FencedError(f"topic {name} was deleted and made again")

    def _committed(
        self, batch: Batch, conflicts: list[NewDeadLetter], appended: Appended, seconds: float
    ) -> None:
        self._metrics.committed(batch, appended, seconds)
        say_rejected([*batch.dead_letters, *conflicts])


def say_rejected(letters: Sequence[NewDeadLetter]) -> None:
    """Log the first `_LINES` dead letters of a batch by themselves, and the others by partition and reason."""
    for letter in letters[:_LINES]:
        log.info(
            "record_rejected",
            reason=letter.reason.value,
            field=letter.field[:_SHOWN],
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
