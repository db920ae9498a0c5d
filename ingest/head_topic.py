"""Signed tree heads in a Kafka topic: the key is the origin of the log, the value the signed note."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing, suppress

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from domain.errors import ConfigurationError, RejectedError, UnavailableError
from event_store.heads import MAX_HEAD_BYTES, StoredHead
from ingest.broker.clients import connected, translated
from ingest.partitions.topics import TopicConfig, Topics
from ingest.publisher import Message, Publisher
from ingest.records.fetcher import bound
from ingest.records.unread import Limits, Unread
from ingest.settings import IngestSettings

log = structlog.get_logger(__name__)

_LAST = 5
"""Records read from the end of each partition: the end offset of the embedded broker can be slightly low."""
_READ_SECONDS = 5.0
_LIMITS = Limits(batch=1 << 20, record=MAX_HEAD_BYTES, poll=1 << 20)
"""Anyone with write access to the topic can write anything to it, and a head is small."""
_UNLIMITED_RETENTION = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
"""Heads are few and small, and an old one can be decisive."""


class HeadTopic:
    """The topic as a destination for heads."""

    name = "topic"

    def __init__(self, settings: IngestSettings, topic: str, publisher: Publisher) -> None:
        """`settings` contain the Kafka connection; the caller owns `publisher`."""
        self._settings = settings
        self._topic = topic
        self._publisher = publisher

    def published(self) -> Sequence[bytes]:
        """The last few notes of each partition."""
        with closing(Topics(self._settings)) as topics:
            found = topics.describe((self._topic,))
            if self._topic not in found:
                if self._settings.create_topics:
                    for name in topics.create((self._topic,), partitions=1, configs=_UNLIMITED_RETENTION):
                        log.info("topic_created", topic=name, partitions=1)
                return ()
            self._warn_of_deletion(topics)
        options = {
            "enable_auto_commit": False,
            "allow_auto_create_topics": False,
            "isolation_level": "read_committed",
            "consumer_timeout_ms": 1000,
            **self._settings.client_options(),
        }
        try:
            with closing(connected(KafkaConsumer, options)) as consumer:
                bound(consumer, _LIMITS)
                return _tail(
                    consumer, [TopicPartition(self._topic, at) for at in found[self._topic].partitions]
                )
        except KafkaError as exc:
            raise translated(exc) from exc

    def _warn_of_deletion(self, topics: Topics) -> None:
        """Kafka deletes heads from a topic that somebody else created with its defaults."""
        try:
            found = topics.configs((self._topic,)).get(self._topic, TopicConfig())
        except ConfigurationError as exc:
            log.warning("heads_topic_settings_unknown", topic=self._topic, error=str(exc))
            return
        if found.compacted or found.retention_ms is not None or found.retention_bytes is not None:
            log.warning(
                "heads_topic_deletes_heads",
                topic=self._topic,
                compacted=found.compacted,
                retention_ms=found.retention_ms,
                retention_bytes=found.retention_bytes,
                hint="set cleanup.policy=delete, retention.ms=-1 and retention.bytes=-1 on this topic",
            )

    def publish(self, head: StoredHead) -> None:
        """Publish, and wait for the acknowledgement of all in-sync replicas."""
        origin = head.note.split(b"\n", 1)[0]
        try:
            self._publisher.publish([Message(self._topic, origin, head.checkpoint)])
        except RejectedError as exc:
            raise UnavailableError(f"topic {self._topic} does not accept a head: {exc.message}") from exc


def _tail(consumer: KafkaConsumer, partitions: list[TopicPartition]) -> list[bytes]:
    consumer.assign(partitions)
    first = consumer.beginning_offsets(partitions)
    end = consumer.end_offsets(partitions)
    for partition in partitions:
        consumer.seek(partition, max(first[partition], end[partition] - _LAST))
    notes: list[bytes] = []
    until = time.monotonic() + _READ_SECONDS
    with suppress(StopIteration):
        while time.monotonic() < until:
            record = next(consumer)
            if isinstance(record.value, Unread):
                log.warning(
                    "no_head_in_topic",
                    topic=record.topic,
                    offset=record.offset,
                    why=record.value.account.message,
                )
            elif record.value is not None:
                notes.append(record.value)
    return notes
