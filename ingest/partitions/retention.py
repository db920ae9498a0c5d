"""Warn before Kafka's retention deletes unread records."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

import structlog
from kafka import TopicPartition

from ingest.batch import Polled
from ingest.metrics import IngestMetrics
from ingest.partitions.topics import TopicConfig

log = structlog.get_logger(__name__)

WARN_FROM = 0.5
"""The share of the retention that unread records may use before the log warns."""
_REPEAT_SECONDS = 60.0


class RetentionWatch:
    """Compares unread records with `retention.ms` and `retention.bytes` of their topic."""

    def __init__(self, metrics: IngestMetrics) -> None:
        self._metrics = metrics
        self._configs: Mapping[str, TopicConfig] = {}
        self._by_age: dict[TopicPartition, float] = {}
        self._by_size: dict[TopicPartition, float] = {}
        self._warned: dict[TopicPartition, float] = {}

    def configure(self, configs: Mapping[str, TopicConfig]) -> None:
        """Use these topic settings from now on."""
        self._configs = {**self._configs, **configs}

    def limited_in_size(self, partitions: Iterable[TopicPartition]) -> list[TopicPartition]:
        """The partitions whose topic has a `retention.bytes`."""
        return [each for each in partitions if self._config(each).retention_bytes is not None]

    def read(self, part: Polled, lag: int) -> None:
        """Record that `part` is appended and `lag` offsets follow.

        Those are about as old as its last record, or younger.
        """
        limit = self._config(part.partition).retention_ms
        if not part.records or not limit:
            return
        written = part.records[-1].timestamp
        age = time.time() * 1000 - written if lag and written > 0 else 0.0
        self._by_age[part.partition] = max(0.0, age / limit)
        self._report(part.partition, lag)

    def measured(self, partition: TopicPartition, first: int, following: int, end: int) -> None:
        """Record that Kafka has offsets `first` to `end`, and that `following` is the next one to read.

        Once Kafka deletes records, the log is as large as `retention.bytes`. The unread share is counted in offsets
        because the sizes of records are unknown.
        """
        unread = max(0, end - following)
        self._by_size[partition] = unread / (end - first) if 0 < first < end else 0.0
        self._report(partition, unread)

    def _config(self, partition: TopicPartition) -> TopicConfig:
        return self._configs.get(partition.topic, TopicConfig())

    def _report(self, partition: TopicPartition, lag: int) -> None:
        share = max(self._by_age.get(partition, 0.0), self._by_size.get(partition, 0.0))
        self._metrics.retention_used(partition.topic, partition.partition, share)
        if share >= WARN_FROM and time.monotonic() >= self._warned.get(partition, 0.0):
            self._warned[partition] = time.monotonic() + _REPEAT_SECONDS
            log.warning(
                "retention_is_near",
                topic=partition.topic,
                partition=partition.partition,
                lag=lag,
                used=round(share, 2),
                hint="lengthen retention.ms or retention.bytes of the topic until ingest has caught up",
            )
