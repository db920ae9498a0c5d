"""The options of kafka-python, and how its partitions are paused and resumed.

A rebalance may revoke a partition at any moment, on the client's own thread. So each function here ignores a partition
that is no longer assigned: its change is in the queue already.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition

from ingest.settings import IngestSettings

Changes = deque[tuple[bool, set[TopicPartition]]]
"""Partitions that were assigned (True) or revoked (False), oldest first."""

BOOTSTRAP_TIMEOUT_MS = 10_000

_GONE = (KeyError, ValueError)


class Listener(ConsumerRebalanceListener):
    """Suspends new partitions and queues changes.

    It runs on kafka-python's thread, where it delays heartbeats: it uses no database and does not wait.
    """

    def __init__(self, consumer: KafkaConsumer, changes: Changes) -> None:
        self._consumer = consumer
        self._changes = changes

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Suspend the partitions until the store's offsets are known."""
        partitions = set(assigned)
        suspend(self._consumer, partitions)
        self._changes.append((True, partitions))

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Queue the change: another member may read the partitions now."""
        self._changes.append((False, set(revoked)))

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        """Queue the change: another member may have read the partitions for some time."""
        self._changes.append((False, set(lost)))


def suspend(consumer: KafkaConsumer, partitions: Iterable[TopicPartition]) -> None:
    """Do not fetch `partitions` until their offsets in the store are known.

    The seek sets a valid offset: for a partition without one the client asks Kafka, and it is an error if Kafka has
    none.
    """
    for partition in partitions:
        pause(consumer, (partition,))
        seek(consumer, partition, 0)


def pause(consumer: KafkaConsumer, partitions: Iterable[TopicPartition]) -> None:
    """Do not fetch `partitions`; fetched records are kept."""
    for partition in partitions:
        try:
            consumer.pause(partition)
        except _GONE:
            continue


def resume(consumer: KafkaConsumer, partitions: Iterable[TopicPartition]) -> None:
    """Fetch `partitions` again."""
    for partition in partitions:
        try:
            consumer.resume(partition)
        except _GONE:
            continue


def seek(consumer: KafkaConsumer, partition: TopicPartition, offset: int) -> bool:
    """Fetch from `offset` next. Returns whether the partition is still assigned."""
    try:
        consumer.seek(partition, offset)
    except _GONE:
        return False
    return True


def finish_rejoin(consumer: KafkaConsumer) -> None:
    """Make the next poll finish a rejoin that the last poll started. Call it before each poll.

    kafka-python 3.0.12 decides at each poll whether it must rejoin. If changed metadata was the reason, the answer is
    no as soon as the join is in progress. When the poll has no time left to finish the join, its result is never
    fetched: the member stays without partitions and without heartbeats. See docs/adr/0017-kafka-clients-that-stall.md.
    """
    coordinator = consumer._coordinator
    if coordinator.rejoining:
        coordinator.request_rejoin()


def consumer_options(settings: IngestSettings) -> dict[str, Any]:
    """The options of a KafkaConsumer."""
    return {
        "group_id": settings.group_id,
        "group_instance_id": settings.group_instance_id or None,  # compose files set an empty one
        "enable_auto_commit": False,
        # Never jump silently: an offset that Kafka does not have is examined.
        "auto_offset_reset": "none",
        "isolation_level": "read_committed",
        "allow_auto_create_topics": False,
        "max_poll_records": settings.max_poll_records,
        # New partitions are detected and assigned when the group leader refreshes its metadata.
        "metadata_max_age_ms": max(100, int(settings.refresh_seconds * 1000)),
        "max_partition_fetch_bytes": min(4 << 20, settings.max_fetch_bytes),
        "fetch_max_bytes": settings.max_fetch_bytes,
        "fetch_max_wait_ms": 200,
        # A rebalance waits for the next heartbeat of every member.
        "heartbeat_interval_ms": 1000,
        "session_timeout_ms": 15_000,
        "bootstrap_timeout_ms": BOOTSTRAP_TIMEOUT_MS,
        "metrics_enabled": False,
        **settings.client_options(),
    }
