"""Ingest: from a Kafka record to a committed and sealed event. These are the steps of a batch, in order.

1. `consumer.RecordSource.settle` opens the stream of each assigned partition, compares Kafka's log with what was read
   before (`partitions.opening`, `partitions.losses`), and seeks to the offset that the store has.
2. `consumer.RecordSource.poll` fetches records. `records` bounds what one Kafka batch may take, and notices holes.
3. `batch.decode_batch` decodes each record (`decoding`, `interop`) to a validated event, or to a dead letter.
4. `Ingest._finish` waits for the batch before. After a fence both batches are dropped and their partitions reopened
   (step 1).
5. `appender.Appender` appends on a thread of its own, while steps 2 and 3 go on with the next batch. It refuses records
   of a topic that was made again, then `event_store.append` does the rest in one transaction: take the log's lock, move
   the offsets by compare-and-set, drop known event ids, give positions, copy the events, extend the Merkle tree, insert
   the dead letters, store the signed head, commit. While the database is away the appender tries again; a batch that
   the database refuses is split until the faulty message is alone (`batch_bisection`).
6. `event_store.notification.Announcer` wakes the projectors.
7. `consumer.RecordSource.committed` tells Kafka the offsets, for the tools that show lag. Nothing else reads them.

A crash between any two steps repeats work, and neither loses nor doubles an event: the offsets move in the transaction
that appends, and event ids are unique.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

import structlog
from prometheus_client import CollectorRegistry

from domain.errors import FencedError, UnavailableError
from event_store.backoff import Backoff
from event_store.database import Database
from event_store.signing import HeadSigner
from event_store.tracing import OFF, Tracer, within
from ingest.appender import Appender
from ingest.batch import Batch, Counters, Polled, decode_batch
from ingest.broker.bounded_calls import ClientStalledError
from ingest.consumer import RecordSource
from ingest.health import Health
from ingest.metrics import IngestMetrics
from ingest.own_source import own_source
from ingest.partitions.starting_offsets import Acceptance, RecordsLostError
from ingest.partitions.topics import Topics
from ingest.settings import IngestSettings
from ingest.stall_detection import Watchdog
from ingest.tracing import batch_span

log = structlog.get_logger(__name__)

_POLL_SECONDS = 0.2
_ALIVE_SECONDS = 0.5
_MAX_RESTARTS = 5
_RESTARTS_SECONDS = 600.0
"""When clients stall more than `_MAX_RESTARTS` times in this time, another client in this process does not help."""


class Ingest:
    """Moves records from Kafka to the event store, with exactly-once effect.

    `check` is called once before the first append; it raises `LogInconsistentError` to refuse a log that may not be
    extended. The constructor raises `ConfigurationError` when losses are to be accepted but the settings do not name
    who decided that.
    """

    def __init__(
        self,
        settings: IngestSettings,
        database: Database,
        signer: HeadSigner,
        *,
        check: Callable[[], None] = lambda: None,
        registry: CollectorRegistry | None = None,
        tracer: Tracer = OFF,
    ) -> None:
        self._settings = settings
        self._tracer = tracer
        self._signer = signer
        self._check = check
        self._database = database
        self._metrics = IngestMetrics(registry)
        decision = settings.decision()
        self._accepted = decision and Acceptance(decision, own_source(), signer)
        self._health = Health()
        self._clients = 0
        self._restarts: deque[float] = deque(maxlen=_MAX_RESTARTS)
        self._stopping = threading.Event()

    @property
    def counters(self) -> Counters:
        """The records that this process has committed."""
        return self._metrics.counters

    def problems(self) -> list[str]:
        """The problems that keep this process from reading and storing everything; empty when it is ready.

        Thread-safe and cheap: it does not wait and makes no request.
        """
        return self._health.problems()

    def stop(self) -> None:
        """Ask `run` to end. It finishes the append in flight, leaves the group and returns. Safe in signal handlers."""
        self._stopping.set()

    def run(self, *, linger_seconds: float = 0) -> None:
        """Ingest until `stop`. While the database or the broker is away, it waits and loses nothing.

        Raises `LogInconsistentError` or `ConfigurationError`: stop, an operator must act. `RecordsLostError` is raised
        `linger_seconds` late, or at `stop`, so that metrics and readiness show the loss before the process ends.
        Raises `UnavailableError` when Kafka clients stall repeatedly: a supervisor should restart this process.
        """
        try:
            self._run()
        except RecordsLostError as exc:
            self._health.stopped_by(exc)
            if linger_seconds:
                log.info("ingest_lingers", seconds=linger_seconds, hint="so that its metrics are collected")
                self._stopping.wait(linger_seconds)
            raise

    def _run(self) -> None:
        topics = Topics(self._settings)
        appender = Appender(
            self._database, self._signer, topics, self._metrics, self._stopping, tracer=self._tracer
        )
        backoff = Backoff()
        checked = False
        watchdog = Watchdog(self._settings, self._database, self._metrics, self._health)
        watchdog.start()
        self._health.running(True)
        log.info("ingest_started", topics=self._settings.topics)
        try:
            while not self._stopping.is_set():
                try:
                    if not checked:
                        self._check()
                        checked = True
                    self._run_source(self._source(topics), appender, backoff)
                except ClientStalledError as exc:
                    self._replace_client(exc)
                except UnavailableError as exc:
                    delay = backoff.next()
                    self._metrics.retried("start" if not checked else "kafka")
                    self._health.waits = str(exc)
                    self._health.loop_ran()
                    log.warning("ingest_waits", error=str(exc), seconds=round(delay, 1))
                    self._stopping.wait(delay)
        finally:
            self._health.running(False)
            watchdog.stop()
            appender.close()
            topics.close()
            log.info("ingest_stopped", counters=str(self.counters))

    def _source(self, topics: Topics) -> RecordSource:
        self._clients += 1
        self._health.new_client()
        source = RecordSource(
            self._settings,
            self._database,
            topics,
            self._metrics,
            self._accepted,
            self._health,
            client=self._clients,
        )
        self._health.waits = None
        return source

    def _replace_client(self, stalled: ClientStalledError) -> None:
        """Count a stalled client. Raises `UnavailableError` after too many recent ones."""
        self._metrics.client_restarted(stalled.cause)
        log.error(
            "kafka_client_replaced", cause=stalled.cause, error=str(stalled), exc_info=stalled.__cause__
        )
        self._health.waits = f"the Kafka client is being replaced: {stalled}"
        now = time.monotonic()
        if len(self._restarts) == _MAX_RESTARTS and now - self._restarts[0] < _RESTARTS_SECONDS:
            raise UnavailableError(
                f"the Kafka client stalled {_MAX_RESTARTS + 1} times within {_RESTARTS_SECONDS / 60:.0f} minutes"
                f" ({stalled.cause}: {stalled}): ending, so that a supervisor restarts this process"
            ) from stalled
        self._restarts.append(now)

    def _run_source(self, source: RecordSource, appender: Appender, backoff: Backoff) -> None:
        try:
            while not self._stopping.is_set():
                self._health.raise_if_stalled()
                source.refresh()
                if source.unsettled:
                    self._finish(source, appender, None)
                    source.settle()
                polled = source.poll(_POLL_SECONDS)
                batch = self._decode(polled) if polled else None
                if self._finish(source, appender, batch) and batch is not None:
                    appender.submit(batch)
                    backoff.reset()
                elif batch is not None:
                    batch.span.end(FencedError.__name__)
            self._finish(source, appender, None)
        finally:
            source.close()

    def _decode(self, polled: list[Polled]) -> Batch:
        span = batch_span(self._tracer, polled, self._settings.group_id)
        with within(self._tracer.start("decode", parent=span)):
            batch = decode_batch(polled, self._settings.max_message_bytes, self._settings.systems)
        return batch._replace(span=span)

    def _finish(self, source: RecordSource, appender: Appender, following: Batch | None) -> bool:
        """Wait for the append in flight. Returns whether `following` may be appended next.

        After a fence it may not: the offsets of its partitions must be read again too, because it follows the fenced
        batch.
        """
        batch = appender.in_flight
        if batch is None:
            return True
        try:
            if not appender.wait(_ALIVE_SECONDS):
                self._health.append_waits(True)
                while not appender.wait(0):
                    source.keep_alive(_ALIVE_SECONDS)
        except FencedError as exc:
            log.warning("append_fenced", error=str(exc), records=batch.received)
            self._metrics.fenced()
            source.reopen(batch.partitions | (following.partitions if following else set()))
            return False
        finally:
            self._health.append_waits(False)
        source.committed(batch)
        return True
