"""Open the streams of partitions: query Kafka and the store, and report lost records and accepted losses."""

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
from ingest.partitions.log import LogQuery, PartitionLog
from ingest.partitions.loss_reports import report_accepted, report_losses
from ingest.partitions.retention import RetentionWatch
from ingest.partitions.starting_offsets import Acceptance, RecordsLostError, Suspected, open_streams
from ingest.partitions.topics import Topic, Topics


class Opened(NamedTuple):
    """Where to resume reading a partition.

    `lag` is the number of offsets in Kafka from there on. `fault` is the reason why the partition can't be read there,
    or None.
    """

    topic_id: UUID
    stream: UUID
    next_offset: int
    accepted_holes: tuple[AcceptedHole, ...]
    lag: int
    fault: str | None


@dataclass(slots=True)
class Position:
    """A partition that is being read.

    `next` is ahead of `stored`, the store's offset, by the records that are decoded or in flight.
    """

    topic_id: UUID
    stream: UUID
    next: int
    stored: int


class StreamOpener:
    """Opens streams for one source. Only for the polling thread."""

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
        suspected: Suspected,
        with_holes: Collection[TopicPartition],
    ) -> dict[TopicPartition, Opened]:
        """Open those of `partitions` whose topics exist.

        Raises the errors of `open_streams`, and `ConfigurationError`.
        """
        found = self._topics.describe(tuple({partition.topic for partition in partitions}))
        self.refuse_compacted(found)
        known = {partition for partition in partitions if partition.topic in found}
        try:
            streams, accepted = open_streams(
                self._database,
                found,
                known,
                partial(self._query_logs, found),
                suspected=suspected,
                with_holes=with_holes,
                accepted=self._accepted,
            )
        except RecordsLostError as exc:
            report_losses(exc.moves, self._metrics)
            raise
        report_accepted(accepted, self._accepted, self._database, self._metrics)
        for partition in streams:
            self._metrics.no_offsets_lost(partition.topic, partition.partition)
        return {
            at: Opened(found[at.topic].id, *stream, *self._ahead(at, stream.next_offset))
            for at, stream in streams.items()
        }

    def refuse_compacted(self, found: Mapping[str, Topic]) -> None:
        """Raise `ConfigurationError` when a topic is compacted."""
        configs = self._topics.configs(found)
        kafka_topics.refuse_compacted(configs)
        self._retention.configure(configs)

    def _query_logs(
        self, topics: Mapping[str, Topic], queries: Mapping[TopicPartition, LogQuery]
    ) -> Mapping[TopicPartition, PartitionLog]:
        self._logs = self._topics.logs(topics, queries)
        return self._logs

    def _ahead(self, partition: TopicPartition, offset: int) -> tuple[int, str | None]:
        log = self._logs.get(partition)
        if log is None:
            return 0, None
        damage = log.damage if log.damage is not None and log.damage.first == offset else None
        return max(0, log.end - offset), damage.fault if damage else None
