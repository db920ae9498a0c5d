"""Reads Kafka. The one module that does; what it hands on is in the order of offsets, from the store's offset on.

kafka-python calls a rebalance listener on its own thread, in the middle of anything. So the listener only pauses the
partitions and notes the change; `settle`, on the thread that polls, reads the store's offsets, seeks and resumes.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaError, LogTruncationError, OffsetOutOfRangeError

from domain.errors import FencedError, UnavailableError
from event_store.database import Database
from ingest.assignment import Changes, Listener, consumer_options, finish_rejoin, hold, pause, resume, seek
from ingest.backoff import Backoff
from ingest.batch import Batch, Polled
from ingest.bounded import BoundedCaller, ClientStalledError, abandon
from ingest.broker_log import PartitionLog, Question
from ingest.clients import connected, translated
from ingest.continuity import Continuity
from ingest.health import Health, Reading
from ingest.loss_reports import report_accepted, report_losses
from ingest.metrics import IngestMetrics
from ingest.records.fetching import bound
from ingest.retention import RetentionWatch
from ingest.settings import IngestSettings
from ingest.stopped import StoppedPartitions
from ingest.streams import Acceptance, OpenedStream, RecordsLostError, open_streams
from ingest.topics import Topic, Topics, refuse_compacted
from ingest.unreadable import Unreadable

log = structlog.get_logger(__name__)

_ASK_TIMEOUT_MS = 10_000
_CLOSE_TIMEOUT_MS = 5_000
_COMMIT_SECONDS = 1.0
"""Kafka's own offsets are for tools that show the lag, so that one commit a second is enough."""
_READING_SECONDS = 0.5


@dataclass(slots=True)
class _Position:
    """A partition that is being read. `next` runs ahead of the store by what is decoded or in flight.

    `stored` is what the store has.
    """

    topic_id: UUID
    stream: UUID
    next: int
    stored: int


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
        self._database = database
        self._topics = topics
        self._metrics = metrics
        self._accepted = accepted
        self._continuity = Continuity()
        self._retention = RetentionWatch(metrics)
        self._with_holes: set[TopicPartition] = set()
        self._positions: dict[TopicPartition, _Position] = {}
        self._unsettled: set[TopicPartition] = set()
        self._doubted: dict[TopicPartition, int | None] = {}
        self._changes: Changes = deque()
        self._backoff = Backoff()
        self._settle_at = 0.0
        self._refresh_at = 0.0
        self._subscribed: dict[str, UUID] = {}
        self._missing: set[str] = set()
        self._commits: dict[TopicPartition, OffsetAndMetadata] = {}
        self._commit_at = 0.0
        self._health = health or Health()
        self._client = client
        self._reading_at = 0.0
        self._not_opened: str | None = None
        self._ends: dict[TopicPartition, int] = {}
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
        self._listener = Listener(self._consumer, self._changes)

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
        self._say_missing(set(names) - found.keys())
        if self._missing and self._settings.create_topics:
            self._topics.create(tuple(sorted(self._missing)))
            found = self._topics.describe(names)
        self._look_at_configs(found)
        self._look_at_sizes()
        self.reopen(
            partition
            for partition, position in self._positions.items()
            if partition.topic in found and found[partition.topic].id != position.topic_id
        )
        if self._settings.assignment == "static":
            self._assign(found)
        else:
            self._subscribe({name: topic.id for name, topic in found.items()})

    def poll(self, seconds: float) -> list[Polled]:
        """The next records, at most `max_poll_records`; waits up to `seconds` for some."""
        self._stopped.try_again(self._consumer)
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
        self, partition: TopicPartition, position: _Position, following: int, rows: Sequence[Any] = ()
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
            frozenset(self._subscribed if self._settings.assignment == "group" else self._settings.topics),
            frozenset(self._consumer.assignment() or ()),
            {partition: position.next for partition, position in positions.items()},
            {partition: position.stored for partition, position in positions.items()},
            self._stopped.words(),
            frozenset(self._missing),
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
        found = self._topics.describe(tuple({partition.topic for partition in partitions}))
        self._look_at_configs(found)
        known = {partition for partition in partitions if partition.topic in found}
        try:
            streams, accepted = open_streams(
                self._database,
                found,
                known,
                partial(self._logs, found),
                doubted=self._doubted,
                with_holes=self._with_holes,
                accepted=self._accepted,
            )
        except RecordsLostError as exc:
            report_losses(exc.moves, self._metrics)
            raise
        report_accepted(accepted, self._accepted, self._database, self._metrics)
        self._read_on(found, streams)
        self._doubted.clear()
        self._with_holes -= known
        if known != partitions:
            raise UnavailableError("a topic is gone")

    def _logs(
        self, topics: Mapping[str, Topic], questions: Mapping[TopicPartition, Question]
    ) -> dict[TopicPartition, PartitionLog]:
        logs = self._topics.logs(topics, questions)
        self._ends = {partition: each.end for partition, each in logs.items()}
        return logs

    def _read_on(self, found: dict[str, Topic], streams: dict[TopicPartition, OpenedStream]) -> None:
        """Seek to the store's offsets and fetch again."""
        self._continuity.accept({partition: each.accepted_holes for partition, each in streams.items()})
        for partition, stream in streams.items():
            self._metrics.found_whole(partition.topic, partition.partition)
            if not seek(self._consumer, partition, stream.next_offset):
                continue
            self._positions[partition] = _Position(
                found[partition.topic].id, stream.stream, stream.next_offset, stream.next_offset
            )
            lag = max(0, self._ends.get(partition, 0) - stream.next_offset)
            self._metrics.lag(partition.topic, partition.partition, lag)
            log.info(
                "partition_opened",
                topic=partition.topic,
                partition=partition.partition,
                offset=stream.next_offset,
            )
        self._unsettled -= streams.keys()
        resume(self._consumer, self._positions.keys() & streams.keys())
        self._stopped.reopened(streams)

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

    def _look_at_configs(self, found: dict[str, Topic]) -> None:
        """Raises `ConfigurationError` for a compacted topic."""
        configs = self._topics.configs(found)
        refuse_compacted(configs)
        self._retention.configure(configs)

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
                "partitions_assigned" if assigned else "partitions_revoked", partitions=_names(partitions)
            )

    def _subscribe(self, wanted: dict[str, UUID]) -> None:
        """Join the group anew when a topic has come, gone, or was made again.

        The last is no change to the client: a member that lost its partitions with the old topic waits for ever.
        """
        if wanted == self._subscribed:
            return
        with self._guarded():
            if self._subscribed:
                self._call(self._consumer.unsubscribe)
                self._changes.append((False, set(self._positions) | self._unsettled))
            if wanted:
                topics = sorted(wanted)
                self._call(lambda: self._consumer.subscribe(topics=topics, listener=self._listener))
        self._subscribed = wanted

    def _assign(self, found: dict[str, Topic]) -> None:
        wanted = {
            TopicPartition(name, number) for name, topic in found.items() for number in topic.partitions
        }
        before = self._consumer.assignment() or set()
        if wanted == before:
            return
        with self._guarded():
            self._call(partial(self._consumer.assign, sorted(wanted)))
        hold(self._consumer, wanted - before)
        if before - wanted:
            self._changes.append((False, before - wanted))
        if wanted - before:
            self._changes.append((True, wanted - before))

    def _say_missing(self, missing: set[str]) -> None:
        if missing != self._missing:
            self._missing = missing
            if missing:
                log.warning("topics_missing", topics=sorted(missing), hint="waiting for them to be made")

    def _measure_lag(self, part: Polled) -> None:
        if self._reads(part.partition):
            end = self._consumer.highwater(part.partition)
            if end is not None:
                lag = max(0, end - part.next)
                self._metrics.lag(part.partition.topic, part.partition.partition, lag)
                self._retention.read(part, lag)


def _names(partitions: Iterable[TopicPartition]) -> list[str]:
    return sorted(f"{partition.topic}-{partition.partition}" for partition in partitions)
