"""A lag that comes near to what Kafka deletes is said before it is deleted."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

import pytest
from kafka import TopicPartition
from prometheus_client import CollectorRegistry

from ingest.batch import Polled
from ingest.metrics import IngestMetrics
from ingest.partitions.retention import RetentionWatch
from ingest.partitions.topics import TopicConfig

AT = TopicPartition("t", 0)


class Written:
    """A record that was written so many seconds ago."""

    def __init__(self, seconds: float) -> None:
        self.timestamp = int((time.time() - seconds) * 1000)


def used(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("audit_trail_ingest_retention_used", {"topic": "t", "partition": "0"})


@pytest.mark.parametrize(("seconds", "lag", "warned"), [(400, 5, False), (700, 5, True), (700, 0, False)])
def test_unread_records_older_than_half_of_the_retention_are_said(
    seconds: float, lag: int, warned: bool, capsys: Any
) -> None:
    registry = CollectorRegistry()
    watch = RetentionWatch(IngestMetrics(registry))
    watch.configure({"t": TopicConfig(retention_ms=1_000_000)})
    part: Any = Polled(AT, uuid4(), uuid4(), 0, 1, [Written(seconds)])  # type: ignore[list-item]
    watch.read(part, lag)
    watch.read(part, lag)
    assert capsys.readouterr().out.count("retention_is_near") == warned
    assert used(registry) == (pytest.approx(seconds / 1000, abs=0.1) if lag else 0)


def test_a_log_limited_in_size_of_which_more_than_half_is_unread_is_said(capsys: Any) -> None:
    registry = CollectorRegistry()
    watch = RetentionWatch(IngestMetrics(registry))
    watch.configure({"t": TopicConfig(retention_bytes=1 << 20)})
    assert watch.limited_in_size([AT, TopicPartition("other", 0)]) == [AT]
    watch.measured(AT, 0, 10, 100)
    assert used(registry) == 0  # nothing was deleted yet
    watch.measured(AT, 100, 120, 200)
    assert used(registry) == 0.8
    assert "retention_is_near" in capsys.readouterr().out
