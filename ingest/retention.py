"""How near the lag of a partition is to what Kafka's retention deletes, said before it happens."""

from __future__ import annotations

import time
from collections.abc import Mapping

import structlog
from kafka import TopicPartition

from ingest.batch import Polled
from ingest.metrics import IngestMetrics
from ingest.topics import TopicConfig

log = structlog.get_logger(__name__)

WARN_FROM = 0.5
"""The share of `retention.ms` that unread records may have had before somebody should look."""
_REPEAT_SECONDS = 60.0


class RetentionWatch:
    """Compares the age of what is read with `retention.ms` of its topic."""

    def __init__(self, metrics: IngestMetrics) -> None:
        self._metrics = metrics
        self._configs: Mapping[str, TopicConfig] = {}
        self._warned: dict[TopicPartition, float] = {}

    def configure(self, configs: Mapping[str, TopicConfig]) -> None:
        """What Kafka says of the topics now."""
        self._configs = {**self._configs, **configs}

    def read(self, part: Polled, lag: int) -> None:
        """`part` is appended, and `lag` offsets follow it: they are about as old as its last record, or younger."""
        config = self._configs.get(part.partition.topic)
        if config is None or not config.retention_ms or not part.records:
            return
        age_ms = time.time() * 1000 - part.records[-1].timestamp
        share = age_ms / config.retention_ms if lag and part.records[-1].timestamp > 0 else 0.0
        self._metrics.retention_used(part.partition.topic, part.partition.partition, max(0.0, share))
        if share >= WARN_FROM and time.monotonic() >= self._warned.get(part.partition, 0.0):
            self._warned[part.partition] = time.monotonic() + _REPEAT_SECONDS
            log.warning(
                "retention_is_near",
                topic=part.partition.topic,
                partition=part.partition.partition,
                lag=lag,
                oldest_unread_seconds=round(age_ms / 1000),
                retention_seconds=round(config.retention_ms / 1000),
                hint="lengthen retention.ms of the topic until ingest has caught up",
            )
