"""Reads Kafka. The one module that does; what it hands on is in the order of offsets, from the store's offset on.

kafka-python calls a rebalance listener on its own thread, in the middle of anything. So the listener only pauses the
partitions and notes the change; `settle`, on the thread that polls, reads the store's offsets, seeks and resumes.
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
from ingest.broker.assignment import Changes, consumer_options, finish_rejoin, hold, pause, resume, seek
from ingest.broker.bounded_calls import BoundedCaller, ClientStalledError, abandon
from ingest.broker.clients import connected, translated
from ingest.health import Health, Reading
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
"""Kafka's own offsets are for tools that show the lag, so that one commit a second is enough."""
_READING_SECONDS = 0.5


class RecordSource:
    """The partitions that this process reads, from the store's offsets on.

    Not for several threads. Calls that wait for the client are bounded in time. `poll`, `keep_alive` and `settle` raise
    `UnavailableError` when this source is no longer of use and a new one has to be made (`ClientStalledError` when the
    client stopped without an error of Kafka), and `LogInconsistentError` or `ConfigurationError` (stop).
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
        """`accepted`: who accepts losses in advance; without it a loss raises `RecordsLostError`."""
        self._settings = settings
        self._topics = topics
        self._metrics = metrics
        self._continuity = Continuity()
        self._retention = RetentionWatch(metrics)
        self._opener = StreamOpener(database, topics, metrics, self._retention, accepted)
        self._with_holes: set[TopicPartition] = set()
        self._positions: dict[TopicPartition, Position] = {}
        self._unsettled: set[TopicPartition] = set()
        self._doubted: dict[TopicPartition, int | None] = {}
        self._changes: Changes = deque()
        self._backoff = Backoff()
        self._settle_at = 0.0
        self._refresh_at = 0.0
        self._commits: dict[TopicPartition, OffsetAndMetadata] = {}
        self._commit_at = 0.0
        self._health = health or Health()
        self._client = client
        self._reading_at = 0.0
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
        )
        self._subscription = Subscription(self._consumer, self._call, self._changes)

    @property
    def unsettled(self) -> bool:
        """Whether partitions wait for `settle`. The batch in flight should be waited for before."""
        self._take_changes()
        return bool(self._unsettled) and time.monotonic() >= self._settle_at

    def refresh(self) -> None:
        """Look for new partitions, and for topics that appeared, went, or were made again, when it is time to."""
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
        self._subscription.say_missing(set(names) - found.keys())
        if self._subscription.missing and self._settings.create_topics:
            self._topics.create(tuple(sorted(self._subscription.missing)))
            found = self._topics.describe(names)
        self._opener.refuse_compacted(found)
        self._look_at_sizes()
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
        """The next records, at most `max_poll_records`; waits up to `seconds` for some."""
        self.reopen(self._stopped.due(self._consumer))
        records = self._guarded_poll(seconds)
        self._take_changes()
        self._stop_unreadable()
        polled = []
        for partition, rows in records.items():
            position = self._positions.get(partition)
            if position is None:
                continue  # taken away, or to be opened again, while the poll ran: the store's offset has not moved
            polled.append(self._polled(partition, position, rows[-1].offset + 1, rows))
        polled = polled or self._marks()
        self._look_for_holes()
        self._tell_reading()
        return polled

    def _polled(
        self, partition: TopicPartition, position: Position, following: int, rows: Sequence[Any] = ()
    ) -> Polled:
        """All that lies before offset `following`, which becomes the partition's position."""
        mark = self._continuity.mark(partition, following - 1)
        start, position.next = position.next, following
        self._stopped.read_to(partition, following)
        return Polled(partition, position.topic_id, position.stream, start, following, rows, mark)

    def _look_for_holes(self) -> None:
        """A partition with a hole is opened again, once what lies before the hole is appended."""
        found = self._continuity.holes() & self._positions.keys()
        if found:
            self._with_holes |= found
            self.reopen(found)

    def keep_alive(self, seconds: float) -> None:
        """Take part in the group for `seconds` without fetching, while a batch waits to be appended."""
        pause(self._consumer, self._consumer.assignment())
        self._guarded_poll(seconds)
        self._take_changes()
        self._stop_unreadable()
        self._tell_reading()
        resume(self._consumer, self._positions.keys() - self._stopped.paused)

    def settle(self) -> None:
        """Open the streams of the partitions that wait for it, seek to their offsets and resume them.

        What can't be opened now, because a service is away or the topic is gone, is tried again later.
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
        """Forget how far `partitions` were read: `settle` will read on from the store's offsets."""
        wanted = set(partitions) & self._consumer.assignment()
        for partition in wanted:
            self._positions.pop(partition, None)
        hold(self._consumer, wanted)
        self._unsettled |= wanted

    def committed(self, batch: Batch) -> None:
        """Tell Kafka, for the tools that show lag, that `batch` is in the store."""
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
        """Leave the group, after a last commit of Kafka's offsets when that is quick. Never raises, never hangs."""
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
            for partition in self._stopped.words():
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

    def _tell_reading(self) -> None:
        """Update what the watchdog and readiness see of this source."""
        self._health.came_round()
        if time.monotonic() < self._reading_at:
            return
        self._reading_at = time.monotonic() + _READING_SECONDS
        positions = self._positions
        reading = Reading(
            self._client,
            self._call(self._consumer.group_metadata).member_id,
            self._subscription.topics
            if self._settings.assignment == "group"
            else frozenset(self._settings.topics),
            frozenset(self._consumer.assignment() or ()),
            {partition: position.next for partition, position in positions.items()},
            {partition: position.stored for partition, position in positions.items()},
            self._stopped.words(),
            frozenset(self._subscription.missing),
            self._not_opened,
        )
        self._metrics.partitions(len(reading.assigned), len(reading.next))
        self._health.reading = reading

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Translate the client's errors. Return normally after an error that `settle` will examine."""
        try:
            yield
        except LogTruncationError as exc:
            self._doubt(
                {partition: at.offset if at else 0 for partition, at in exc.divergent_offsets.items()}
            )
        except OffsetOutOfRangeError:
            self._doubt(dict.fromkeys(self._positions))
        except KafkaError as exc:
            raise translated(exc) from exc

    def _doubt(self, partitions: dict[TopicPartition, int | None]) -> None:
        """Either the topic was made again, or Kafka has lost something: `settle` finds out which."""
        self._doubted |= partitions
        self.reopen(self._positions)

    def _marks(self) -> list[Polled]:
        """Partitions whose position is past transaction marks or aborted records, with nothing else to come.

        Without this, a log that ends with marks and is then cleaned up would look as if records had been lost.
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
        streams = self._opener.open(partitions, self._doubted, self._with_holes)
        self._read_on(streams)
        self._doubted.clear()
        self._with_holes -= streams.keys()
        if streams.keys() != partitions:
            raise UnavailableError("a topic is gone")

    def _read_on(self, streams: Mapping[TopicPartition, Opened]) -> None:
        """Seek to the store's offsets, and fetch again what is not damaged there."""
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

    def _look_at_sizes(self) -> None:
        """Measure the unread share of each log that `retention.bytes` limits."""
        limited = self._retention.limited_in_size(self._positions)
        if not limited:
            return
        with self._guarded():
            firsts = self._call(lambda: self._consumer.beginning_offsets(limited, timeout_ms=_ASK_TIMEOUT_MS))
            for partition, first in firsts.items():
                end = self._consumer.highwater(partition) if self._reads(partition) else None
                if end is not None:
                    self._retention.kept(partition, first, self._positions[partition].next, end)

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
