"""How kafka-python is set, and how its partitions are held and let go.

A rebalance may take a partition away at any moment, on the client's own thread. So each function here passes over a
partition that is no longer assigned: its change is in the queue already.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition

from ingest.settings import IngestSettings

Changes = deque[tuple[bool, set[TopicPartition]]]
"""Partitions that were assigned (True) or taken away (False), oldest first."""

BOOTSTRAP_TIMEOUT_MS = 10_000

_GONE = (KeyError, ValueError)


class Listener(ConsumerRebalanceListener):
    """Holds and notes. It runs on kafka-python's thread, in the way of heartbeats: no database, no waiting."""

    def __init__(self, consumer: KafkaConsumer, changes: Changes) -> None:
        self._consumer = consumer
        self._changes = changes

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """AdvisoryLock them until the store has said where to read on."""
        partitions = set(assigned)
        hold(self._consumer, partitions)
        self._changes.append((True, partitions))

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Another member may read them from now on."""
        self._changes.append((False, set(revoked)))

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        """Another member has read them for some time already."""
        self._changes.append((False, set(lost)))


def hold(consumer: KafkaConsumer, partitions: Iterable[TopicPartition]) -> None:
    """Keep partitions from being fetched until their offset in the store is known.

    The seek gives them some offset: one without any is looked up in Kafka, where it is an error to find none.
    """
    for partition in partitions:
        pause(consumer, (partition,))
        seek(consumer, partition, 0)


def pause(consumer: KafkaConsumer, partitions: Iterable[TopicPartition]) -> None:
    """Do not fetch `partitions`; what is fetched already is kept."""
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
    """Fetch from `offset` next; whether the partition is still assigned."""
    try:
        consumer.seek(partition, offset)
    except _GONE:
        return False
    return True


def finish_rejoin(consumer: KafkaConsumer) -> None:
    """Have a rejoin that the last poll began, and had no time to end, ended by the next one. Before each poll.

    kafka-python 3.0.12 asks anew at each poll whether it has to rejoin. Where changed metadata was the reason, it
    says no as soon as the join is on its way, and the answer is never fetched: the member stays without partitions and
    without heartbeats for ever. See docs/adr/0017-kafka-clients-that-stall.md.
    """
    coordinator = consumer._coordinator
    if coordinator.rejoining:
        coordinator.request_rejoin()


def consumer_options(settings: IngestSettings) -> dict[str, Any]:
    """The settings of a KafkaConsumer."""
    return {
        "group_id": settings.group_id,
        "group_instance_id": settings.group_instance_id or None,  # compose files set an empty one
        "enable_auto_commit": False,
        # Never silently somewhere else: an offset that Kafka does not have is looked into.
        "auto_offset_reset": "none",
        "isolation_level": "read_committed",
        "allow_auto_create_topics": False,
        "max_poll_records": settings.max_poll_records,
        # New partitions are found, and given to members, when the metadata of the group's leader is renewed.
        "metadata_max_age_ms": max(100, int(settings.refresh_seconds * 1000)),
        "max_partition_fetch_bytes": min(4 << 20, settings.max_fetch_bytes),
        "fetch_max_bytes": settings.max_fetch_bytes,
        "fetch_max_wait_ms": 200,
        # A rebalance waits for every member's next heartbeat.
        "heartbeat_interval_ms": 1000,
        "session_timeout_ms": 15_000,
        "bootstrap_timeout_ms": BOOTSTRAP_TIMEOUT_MS,
        "metrics_enabled": False,
        **settings.client_options(),
    }
