"""The topics and partitions that a Kafka client reads, and the missing topics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from kafka import KafkaConsumer, TopicPartition

from ingest.broker.assignment import Changes, Listener, suspend
from ingest.broker.bounded_calls import BoundedCaller
from ingest.partitions.topics import Topic

log = structlog.get_logger(__name__)


class Subscription:
    """Controls what the client reads. Raises the errors of the client, and `ClientStalledError`.

    Assigned and revoked partitions go into `changes`, also when other members of the group are the reason.
    """

    def __init__(self, consumer: KafkaConsumer, call: BoundedCaller, changes: Changes) -> None:
        self._consumer = consumer
        self._call = call
        self._changes = changes
        self._listener = Listener(consumer, changes)
        self._subscribed: dict[str, UUID] = {}
        self.missing: set[str] = set()

    @property
    def topics(self) -> frozenset[str]:
        """The topics for which the client has joined its group."""
        return frozenset(self._subscribed)

    def subscribe(self, found: Mapping[str, Topic], read: set[TopicPartition]) -> None:
        """Join the group again when a topic was created, deleted or recreated; `read` is then no longer assigned.

        The client does not notice a recreated topic: a member that lost its partitions with the old topic would wait
        forever.
        """
        wanted = {name: topic.id for name, topic in found.items()}
        if wanted == self._subscribed:
            return
        if self._subscribed:
            self._call(self._consumer.unsubscribe)
            self._changes.append((False, read))
        if wanted:
            topics = sorted(wanted)
            self._call(lambda: self._consumer.subscribe(topics=topics, listener=self._listener))
        self._subscribed = wanted

    def assign(self, found: Mapping[str, Topic]) -> None:
        """Make the client read all partitions of these topics, without a group."""
        wanted = {
            TopicPartition(name, number) for name, topic in found.items() for number in topic.partitions
        }
        before: set[Any] = self._consumer.assignment() or set()
        if wanted == before:
            return
        self._call(partial(self._consumer.assign, sorted(wanted)))
        suspend(self._consumer, wanted - before)
        if before - wanted:
            self._changes.append((False, before - wanted))
        if wanted - before:
            self._changes.append((True, wanted - before))

    def log_missing(self, missing: set[str]) -> None:
        """Log once which topics do not exist."""
        if missing != self.missing:
            self.missing = missing
            if missing:
                log.warning("topics_missing", topics=sorted(missing), hint="waiting for them to be created")


def partition_names(partitions: Iterable[TopicPartition]) -> list[str]:
    """``topic-partition`` of each, for the log."""
    return sorted(f"{partition.topic}-{partition.partition}" for partition in partitions)
