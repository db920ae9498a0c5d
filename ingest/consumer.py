"""Read records from Kafka in offset order, starting at the store's offsets. No other module does.

kafka-python calls a rebalance listener on its own thread, at any moment. So the listener only pauses the partitions and
queues the change. `settle`, on the polling thread, reads the store's offsets, seeks and resumes.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import structlog
from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.errors import CorruptRecordError, KafkaError, LogTruncationError, OffsetOutOfRangeError

from domain.errors import FencedError, UnavailableError
from event_store.backoff import Backoff
from event_store.database import Database
from ingest.batch import Batch, Polled
from ingest.broker.assignment import Changes, consumer_options, finish_rejoin, pause, resume, seek, suspend
from ingest.broker.bounded_calls import BoundedCaller, ClientStalledError, abandon
from ingest.broker.clients import connected, translated
from ingest.health import Health, ReaderState
from ingest.metrics import IngestMetrics
from ingest.partitions.opening import Opened, Position, StreamOpener
from ingest.partitions.retention import RetentionWatch
from ingest.partitions.starting_offsets import Acceptance
from ingest.partitions.stopped import StoppedPartitions
from ingest.partitions.subscription import Subscription, partition_names
from ingest.partitions.topics import Topics
from ingest.records.continuity import Continuity
from ingest.records.fetcher import bound
from ingest.records.unreadable import Unreadable
from ingest.settings import IngestSettings

log = structlog.get_logger(__name__)

_ASK_TIMEOUT_MS = 10_000
_CLOSE_TIMEOUT_MS = 5_000
_COMMIT_SECONDS = 1.0
"""Kafka's own offsets only serve tools that show the lag, so one commit per second is enough."""
_STATE_SECONDS = 0.5


class RecordSource:
    """The partitions that this process reads, starting at the store's offsets.

    Not thread-safe. Calls into the client have a time limit. `poll`, `keep_alive` and `settle` raise `UnavailableError`
    when this source must be replaced by a new one (`ClientStalledError` when the client stopped without a Kafka error),
    and `LogInconsistentError` or `ConfigurationError` (stop).
    """

    def __init__(
        self,
        settings: IngestSettings,
        database: Database,
        topics: Topics,
        metrics: IngestMetrics,
        accepted: Acceptance | None = None,
        health: Health | None = None,
        *,
        client: int = 1,
    ) -> None:
        """`accepted`: the operator's advance acceptance of losses; without it a loss raises `RecordsLostError`."""
        self._settings = settings
        self._topics = topics
        self._metrics = metrics
        self._continuity = Continuity()
        self._retention = RetentionWatch(metrics)
        self._opener = StreamOpener(database, topics, metrics, self._retention, accepted)
        self._with_holes: set[TopicPartition] = set()
        self._positions: dict[TopicPartition, Position] = {}
        self._unsettled: set[TopicPartition] = set()
        self._suspected: dict[TopicPartition, int | None] = {}
        self._changes: Changes = deque()
        self._backoff = Backoff()
        self._settle_at = 0.0
        self._refresh_at = 0.0
        self._commits: dict[TopicPartition, OffsetAndMetadata] = {}
        self._commit_at = 0.0
        self._health = health or Health()
        self._client = client
        self._state_at = 0.0
        self._not_opened: str | None = None
        self._stopped = StoppedPartitions(metrics)
        self._unreadable: deque[Unreadable] = deque()
        self._call = BoundedCaller("kafka-consumer", 2 * settings.stall_seconds)
        try:
            self._consumer = self._call(lambda: connected(KafkaConsumer, consumer_options(settings)))
        except BaseException:
            self._call.close()
            raise
        bound(
            self._consumer,
            settings.limits,
            watch=self._continuity.watched,
            report=self._unreadable.append,
            carried=True,
        )
        self._subscription = Subscription(self._consumer, self._call, self._changes)

    @property
    def unsettled(self) -> bool:
        """Whether partitions wait for `settle`. Wait for the batch in flight before calling it."""
        self._take_changes()
        return bool(self._unsettled) and time.monotonic() >= self._settle_at

    def refresh(self) -> None:
        """Check for new partitions and for created, deleted or recreated topics, once per `refresh_seconds`."""
        if time.monotonic() < self._refresh_at:
            return
        self._refresh_at = time.monotonic() + self._settings.refresh_seconds
        try:
            self._refresh()
        except ClientStalledError:
            raise
        except UnavailableError as exc:
            log.warning("topics_not_refreshed", error=str(exc))

    def _refresh(self) -> None:
        names = self._settings.topics
        found = self._topics.describe(names)
        self._subscription.log_missing(set(names) - found.keys())
        if self._subscription.missing and self._settings.create_topics:
            for name in self._topics.create(tuple(sorted(self._subscription.missing))):
                log.info("topic_created", topic=name, partitions=self._settings.partitions)
            found = self._topics.describe(names)
        self._opener.refuse_compacted(found)
        self._measure_sizes()
        self.reopen(
            partition
            for partition, position in self._positions.items()
            if partition.topic in found and found[partition.topic].id != position.topic_id
        )
        with self._guarded():
            if self._settings.assignment == "static":
                self._subscription.assign(found)
            else:
                self._subscription.subscribe(found, set(self._positions) | self._unsettled)

    def poll(self, seconds: float) -> list[Polled]:
        """The next records, at most `max_poll_records`. Waits up to `seconds`."""
        self.reopen(self._stopped.due(self._consumer))
        records = self._guarded_poll(seconds)
        self._take_changes()
        self._stop_unreadable()
        polled = []
        for partition, rows in records.items():
            position = self._positions.get(partition)
            if position is None:
                continue  # revoked or to be reopened during the poll: the store's offset has not moved
            polled.append(self._polled(partition, position, rows[-1].offset + 1, rows))
        polled = polled or self._empty_advances()
        self._reopen_at_holes()
        self._report_state()
        return polled

    def _polled(
        self, partition: TopicPartition, position: Position, following: int, rows: Sequence[Any] = ()
    ) -> Polled:
        """The records before offset `following`, which becomes the position of the partition."""
        mark = self._continuity.mark(partition, following - 1)
        start, position.next = position.next, following
        self._stopped.read_to(partition, following)
        return Polled(partition, position.topic_id, position.stream, start, following, rows, mark)

    def _reopen_at_holes(self) -> None:
        """Reopen partitions with a hole, once the records before the hole are appended."""
        found = self._continuity.holes() & self._positions.keys()
        if found:
            self._with_holes |= found
            self.reopen(found)

    def keep_alive(self, seconds: float) -> None:
        """Stay in the group for `seconds` without fetching, while a batch waits to be appended."""
        pause(self._consumer, self._consumer.assignment())
        self._guarded_poll(seconds)
        self._take_changes()
        self._stop_unreadable()
        self._report_state()
        resume(self._consumer, self._positions.keys() - self._stopped.paused)

    def settle(self) -> None:
        """Open the streams of pending partitions, seek to their offsets and resume them.

        Partitions that can't be opened now, because a service is away or the topic is missing, are retried later.
        """
        try:
            self._open(self._unsettled & self._consumer.assignment())
        except ClientStalledError:
            raise
        except (UnavailableError, FencedError) as exc:
            delay = self._backoff.next()
            self._settle_at = time.monotonic() + delay
            self._metrics.retried("open")
            self._not_opened = str(exc)
            log.warning(
                "partitions_wait", error=str(exc), partitions=len(self._unsettled), seconds=round(delay, 1)
            )
        else:
            self._backoff.reset()
            self._not_opened = None

    def reopen(self, partitions: Iterable[TopicPartition]) -> None:
        """Drop the positions of `partitions`: `settle` will resume at the store's offsets."""
        wanted = set(partitions) & self._consumer.assignment()
        for partition in wanted:
            self._positions.pop(partition, None)
        suspend(self._consumer, wanted)
        self._unsettled |= wanted

    def committed(self, batch: Batch) -> None:
        """Commit the offsets of a stored batch to Kafka, for tools that show the lag."""
        for part in batch.polled:
            position = self._positions.get(part.partition)
            if position is not None:
                position.stored = part.next
                self._commits[part.partition] = OffsetAndMetadata(part.next, "", -1)
                self._measure_lag(part)
        if time.monotonic() >= self._commit_at and self._commits:
            self._commit_at = time.monotonic() + _COMMIT_SECONDS
            with self._guarded():
                self._call(partial(self._consumer.commit_async, self._commits))
            self._commits = {}

    def close(self) -> None:
        """Leave the group, after a final commit of Kafka's offsets if that is quick.

        Never raises, never blocks for long.
        """
        try:
            if self._commits:
                self._call(lambda: self._consumer.commit(self._commits, timeout_ms=_CLOSE_TIMEOUT_MS))
        except (KafkaError, ClientStalledError) as exc:
            log.info("kafka_offsets_not_committed", error=type(exc).__name__)
        finally:
            abandon(self._consumer, autocommit=False, timeout_ms=_CLOSE_TIMEOUT_MS)
            self._call.close()
            for partition in self._positions:
                self._metrics.forget_lag(partition.topic, partition.partition)
            for partition in self._stopped.messages():
                self._stopped.forget(partition)
            self._metrics.partitions(0, 0)

    def _guarded_poll(self, seconds: float) -> dict[TopicPartition, list[Any]]:
        records: dict[TopicPartition, list[Any]] = {}
        finish_rejoin(self._consumer)
        with self._guarded():
            records |= self._call(lambda: self._consumer.poll(timeout_ms=int(seconds * 1000)))
        return records

    def _stop_unreadable(self) -> None:
        while self._unreadable:
            unreadable = self._unreadable.popleft()
            if unreadable.partition in self._positions:
                self._stopped.stop(self._consumer, unreadable)

    def _report_state(self) -> None:
        """Update the state that the watchdog and readiness see."""
        self._health.loop_ran()
        if time.monotonic() < self._state_at:
            return
        self._state_at = time.monotonic() + _STATE_SECONDS
        positions = self._positions
        reader = ReaderState(
            self._client,
            self._call(self._consumer.group_metadata).member_id,
            self._subscription.topics
            if self._settings.assignment == "group"
            else frozenset(self._settings.topics),
            frozenset(self._consumer.assignment() or ()),
            {partition: position.next for partition, position in positions.items()},
            {partition: position.stored for partition, position in positions.items()},
            self._stopped.messages(),
            frozenset(self._subscription.missing),
            self._not_opened,
        )
        self._metrics.partitions(len(reader.assigned), len(reader.next))
        self._health.reader = reader

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Translate the client's errors. Return normally after an error that `settle` will examine."""
        try:
            yield
        except LogTruncationError as exc:
            self._suspect(
                {partition: at.offset if at else 0 for partition, at in exc.divergent_offsets.items()}
            )
        except OffsetOutOfRangeError:
            self._suspect(dict.fromkeys(self._positions))
        except KafkaError as exc:
            raise translated(exc) from exc

    def _suspect(self, partitions: dict[TopicPartition, int | None]) -> None:
        """Reopen all partitions: either the topic was recreated or Kafka lost records. `settle` finds out which."""
        self._suspected |= partitions
        self.reopen(self._positions)

    def _empty_advances(self) -> list[Polled]:
        """Partitions whose position has passed transaction markers or aborted records, with nothing after them.

        Otherwise a log that ends with markers and is then cleaned up would look as if records had been lost.
        """
        polled: list[Polled] = []
        with self._guarded():
            for partition, at in self._call(self._reached):
                position = self._positions[partition]
                if at > position.next:
                    polled.append(self._polled(partition, position, at))
        return polled

    def _reached(self) -> list[tuple[TopicPartition, int]]:
        """The client's position in each open partition."""
        found = [
            (partition, self._consumer.position(partition, timeout_ms=0))
            for partition in self._positions
            if self._reads(partition)
        ]
        return [(partition, at) for partition, at in found if at is not None]

    def _reads(self, partition: TopicPartition) -> bool:
        return partition in self._consumer.assignment()

    def _open(self, partitions: set[TopicPartition]) -> None:
        streams = self._opener.open(partitions, self._suspected, self._with_holes)
        self._read_on(streams)
        self._suspected.clear()
        self._with_holes -= streams.keys()
        if streams.keys() != partitions:
            raise UnavailableError("a topic does not exist any more")

    def _read_on(self, streams: Mapping[TopicPartition, Opened]) -> None:
        """Seek to the store's offsets, and resume the partitions that are not damaged there."""
        self._continuity.accept({partition: each.accepted_holes for partition, each in streams.items()})
        for partition, stream in streams.items():
            if not seek(self._consumer, partition, stream.next_offset):
                continue
            self._positions[partition] = Position(
                stream.topic_id, stream.stream, stream.next_offset, stream.next_offset
            )
            self._metrics.lag(partition.topic, partition.partition, stream.lag)
            log.info(
                "partition_opened",
                topic=partition.topic,
                partition=partition.partition,
                offset=stream.next_offset,
            )
        self._unsettled -= streams.keys()
        self._stopped.reopened({partition: each.next_offset for partition, each in streams.items()})
        opened = self._positions.keys() & streams.keys()
        damaged = {partition for partition in opened if streams[partition].fault is not None}
        resume(self._consumer, opened - damaged)
        for partition in damaged:
            at = streams[partition]
            self._stopped.stop(
                self._consumer, Unreadable(partition, at.next_offset, CorruptRecordError(at.fault))
            )

    def _measure_sizes(self) -> None:
        """Measure the unread share of each log with a `retention.bytes` limit."""
        limited = self._retention.limited_in_size(self._positions)
        if not limited:
            return
        with self._guarded():
            firsts = self._call(lambda: self._consumer.beginning_offsets(limited, timeout_ms=_ASK_TIMEOUT_MS))
            for partition, first in firsts.items():
                end = self._consumer.highwater(partition) if self._reads(partition) else None
                if end is not None:
                    self._retention.measured(partition, first, self._positions[partition].next, end)

    def _take_changes(self) -> None:
        while self._changes:
            assigned, partitions = self._changes.popleft()
            for partition in partitions:
                if self._positions.pop(partition, None) is not None:
                    self._metrics.forget_lag(partition.topic, partition.partition)
                self._commits.pop(partition, None)
                if not assigned:
                    self._stopped.forget(partition)
            self._unsettled = self._unsettled | partitions if assigned else self._unsettled - partitions
            self._settle_at = 0.0
            log.info(
                "partitions_assigned" if assigned else "partitions_revoked",
                partitions=partition_names(partitions),
            )

    def _measure_lag(self, part: Polled) -> None:
        if self._reads(part.partition):
            end = self._consumer.highwater(part.partition)
            if end is not None:
                lag = max(0, end - part.next)
                self._metrics.lag(part.partition.topic, part.partition.partition, lag)
                self._retention.read(part, lag)
