"""Opens the streams of partitions: asks Kafka and the store, and reports what is lost or was accepted."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple
from uuid import UUID

from kafka import TopicPartition

from event_store.database import Database
from event_store.streams import AcceptedHole
from ingest.metrics import IngestMetrics
from ingest.partitions import topics as kafka_topics
from ingest.partitions.log import PartitionLog, Question
from ingest.partitions.loss_reports import report_accepted, report_losses
from ingest.partitions.retention import RetentionWatch
from ingest.partitions.starting_offsets import Acceptance, Doubted, RecordsLostError, open_streams
from ingest.partitions.topics import Topic, Topics


class Opened(NamedTuple):
    """Where to read a partition on.

    `lag`: how many offsets Kafka has from there on. `fault`: why nothing can be read there, None when something can.
    """

    topic_id: UUID
    stream: UUID
    next_offset: int
    accepted_holes: tuple[AcceptedHole, ...]
    lag: int
    fault: str | None


@dataclass(slots=True)
class Position:
    """A partition that is being read. `next` runs ahead of the store by what is decoded or in flight.

    `stored` is what the store has.
    """

    topic_id: UUID
    stream: UUID
    next: int
    stored: int


class StreamOpener:
    """Opens streams for one source. Only for the thread that polls."""

    def __init__(
        self,
        database: Database,
        topics: Topics,
        metrics: IngestMetrics,
        retention: RetentionWatch,
        accepted: Acceptance | None,
    ) -> None:
        self._database = database
        self._topics = topics
        self._metrics = metrics
        self._retention = retention
        self._accepted = accepted
        self._logs: Mapping[TopicPartition, PartitionLog] = {}

    def open(
        self,
        partitions: Collection[TopicPartition],
        doubted: Doubted,
        with_holes: Collection[TopicPartition],
    ) -> dict[TopicPartition, Opened]:
        """Those of `partitions` whose topics exist. Raises what `open_streams` raises, and `ConfigurationError`."""
        found = self._topics.describe(tuple({partition.topic for partition in partitions}))
        self.refuse_compacted(found)
        known = {partition for partition in partitions if partition.topic in found}
        try:
            streams, accepted = open_streams(
                self._database,
                found,
                known,
                partial(self._look, found),
                doubted=doubted,
                with_holes=with_holes,
                accepted=self._accepted,
            )
        except RecordsLostError as exc:
            report_losses(exc.moves, self._metrics)
            raise
        report_accepted(accepted, self._accepted, self._database, self._metrics)
        for partition in streams:
            self._metrics.found_whole(partition.topic, partition.partition)
        return {
            at: Opened(found[at.topic].id, *stream, *self._ahead(at, stream.next_offset))
            for at, stream in streams.items()
        }

    def refuse_compacted(self, found: Mapping[str, Topic]) -> None:
        """Raise `ConfigurationError` when a topic is compacted."""
        configs = self._topics.configs(found)
        kafka_topics.refuse_compacted(configs)
        self._retention.configure(configs)

    def _look(
        self, topics: Mapping[str, Topic], questions: Mapping[TopicPartition, Question]
    ) -> Mapping[TopicPartition, PartitionLog]:
        self._logs = self._topics.logs(topics, questions)
        return self._logs

    def _ahead(self, partition: TopicPartition, offset: int) -> tuple[int, str | None]:
        log = self._logs.get(partition)
        if log is None:
            return 0, None
        damage = log.damage if log.damage is not None and log.damage.first == offset else None
        return max(0, log.end - offset), damage.fault if damage else None
