"""Partitions that are stopped at a damaged batch, and when each is retried."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import structlog
from kafka import KafkaConsumer, TopicPartition

from event_store.backoff import Backoff
from ingest.broker.assignment import pause
from ingest.metrics import IngestMetrics
from ingest.records.unreadable import Unreadable, forget_fetched

log = structlog.get_logger(__name__)

_SECONDS = (1.0, 60.0)
"""The first and the maximum delay. Each try fetches the damaged batch again, up to 4 MiB."""


_HINT = "restore the replica from a good one, or accept the gap with `audit-trail offsets accept`"


@dataclass(slots=True)
class _Stopped:
    offset: int
    error: str
    backoff: Backoff
    retry_at: float | None
    """None during a try."""


class StoppedPartitions:
    """Stops single partitions, so that the others go on. Not thread-safe.

    Nothing is skipped: the partition resumes when the batch can be read, or when it was deleted in Kafka and an
    operator has accepted the loss.
    """

    def __init__(self, metrics: IngestMetrics) -> None:
        self._metrics = metrics
        self._stopped: dict[TopicPartition, _Stopped] = {}

    @property
    def paused(self) -> set[TopicPartition]:
        """The partitions that are not fetched now."""
        return {partition for partition, it in self._stopped.items() if it.retry_at is not None}

    def messages(self) -> dict[TopicPartition, str]:
        """For each stopped partition: its offset, the error and the remedy."""
        return {
            partition: (
                f"{partition.topic}-{partition.partition} is stopped at offset {it.offset} ({it.error}):"
                f" {_HINT}"
            )
            for partition, it in self._stopped.items()
        }

    def stop(self, consumer: KafkaConsumer, unreadable: Unreadable) -> None:
        """Pause a partition until its next try."""
        partition = unreadable.partition
        pause(consumer, (partition,))
        before = self._stopped.get(partition)
        same = before is not None and before.offset == unreadable.offset
        backoff = before.backoff if same and before is not None else Backoff(*_SECONDS)
        delay = backoff.next()
        error = type(unreadable.error).__name__
        self._stopped[partition] = _Stopped(unreadable.offset, error, backoff, time.monotonic() + delay)
        self._metrics.partition_stopped(partition.topic, partition.partition, unreadable.offset)
        log.error(
            "partition_stopped",
            topic=partition.topic,
            partition=partition.partition,
            offset=unreadable.offset,
            error=error,
            hint=f"the batch is damaged in Kafka: {_HINT}",
            tried_again_in_seconds=round(delay, 1),
        )

    def due(self, consumer: KafkaConsumer) -> set[TopicPartition]:
        """The partitions to retry now. They are opened again, because an operator may have accepted the gap."""
        now = time.monotonic()
        found = {at for at, it in self._stopped.items() if it.retry_at is not None and now >= it.retry_at}
        for partition in found:
            self._stopped[partition].retry_at = None
            forget_fetched(consumer, partition)
        return found

    def reopened(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Record that these partitions are fetched again, from the store's offsets."""
        for partition, offset in offsets.items():
            if partition in self._stopped:
                self._stopped[partition].retry_at = None
                self.read_to(partition, offset)

    def read_to(self, partition: TopicPartition, following: int) -> None:
        """Record that a partition was read up to `following`.

        If that is after the damaged batch, it is not stopped any more.
        """
        it = self._stopped.get(partition)
        if it is not None and following > it.offset:
            self.forget(partition)
            log.info(
                "partition_goes_on", topic=partition.topic, partition=partition.partition, offset=following
            )

    def forget(self, partition: TopicPartition) -> None:
        """Forget a partition that is readable again, or that another process reads."""
        if self._stopped.pop(partition, None) is not None:
            self._metrics.partition_goes_on(partition.topic, partition.partition)
