"""Prometheus metrics of ingest. Counted once per batch, because a labelled count costs as much as decoding a field."""

from __future__ import annotations

from collections import Counter as Counted
from contextlib import suppress
from datetime import UTC, datetime
from typing import get_args

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from domain.errors import Reason
from event_store.append import Appended
from ingest.batch import Batch, Counters
from ingest.broker.bounded_calls import Cause
from ingest.source_clocks import SourceClocks

_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class IngestMetrics:
    """The metrics of one ingest process, in `registry` and as plain numbers."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or REGISTRY
        self.counters = Counters()
        self._records = Counter(
            "audit_trail_ingest_records",
            "Committed Kafka records, by outcome.",
            ["outcome"],
            registry=registry,
        )
        self._accepted = self._records.labels("accepted")
        self._duplicates = self._records.labels("duplicate")
        self._conflicts = self._records.labels("conflict")
        self._rejected = self._records.labels("rejected")
        self._reasons = Counter(
            "audit_trail_ingest_rejected", "Rejected records, by reason.", ["reason"], registry=registry
        )
        self._seconds = Histogram(
            "audit_trail_ingest_append_seconds",
            "Seconds from the start of a batch's transaction to its commit.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._retries = Counter(
            "audit_trail_ingest_retries",
            "Retries because a service was away, by the step that waits.",
            ["service"],
            registry=registry,
        )
        self._clock_behind = Gauge(
            "audit_trail_clock_behind_seconds",
            "How far the database's clock was behind the last event at the last append: it was set back.",
            registry=registry,
        )
        self._clock_ahead = Gauge(
            "audit_trail_clock_ahead_seconds",
            "How far the database's clock was ahead of this machine's at the last append.",
            registry=registry,
        )
        self._sources = SourceClocks(registry)
        self._fenced = Counter(
            "audit_trail_ingest_fenced",
            "Batches dropped because another process had moved the offsets.",
            registry=registry,
        )
        self._lag = Gauge(
            "audit_trail_ingest_lag_records",
            "Offsets in Kafka that are not in the store, for partitions read here and partitions that nobody reads.",
            ["topic", "partition"],
            registry=registry,
        )
        self._client_restarts = Counter(
            "audit_trail_ingest_client_restarts",
            "Kafka clients that were replaced because they stalled.",
            ["cause"],
            registry=registry,
        )
        for cause in get_args(Cause):
            self._client_restarts.labels(cause)
        self._assigned = Gauge(
            "audit_trail_ingest_partitions_assigned",
            "Partitions assigned to this process.",
            registry=registry,
        )
        self._open = Gauge(
            "audit_trail_ingest_partitions_open", "Partitions read by this process.", registry=registry
        )
        self._stopped = Gauge(
            "audit_trail_ingest_partition_stopped",
            "Partitions stopped at an unreadable record; the value is its offset.",
            ["topic", "partition"],
            registry=registry,
        )

        self._lost = Gauge(
            "audit_trail_ingest_offsets_lost",
            "Minimum number of offsets that Kafka lost before they were read and that no operator has accepted.",
            ["topic", "partition"],
            registry=registry,
        )
        self._gaps = Counter("audit_trail_ingest_gaps", "Accepted losses of records.", registry=registry)
        self._gaps_known = 0
        self._retention = Gauge(
            "audit_trail_ingest_retention_used",
            "Share of the retention that the oldest unread record has used; at 1 Kafka deletes it.",
            ["topic", "partition"],
            registry=registry,
        )

    def offsets_lost(self, topic: str, partition: int, offsets: int) -> None:
        """Set the minimum number of lost offsets of a partition."""
        self._lost.labels(topic, str(partition)).set(offsets)

    def no_offsets_lost(self, topic: str, partition: int) -> None:
        """Record that a partition has no losses, or that they were accepted."""
        self._lost.labels(topic, str(partition)).set(0)

    def gaps(self, total: int) -> None:
        """Set the number of losses accepted so far. It comes from the log, so that it survives a restart."""
        self._gaps.inc(max(0, total - self._gaps_known))
        self._gaps_known = max(total, self._gaps_known)

    def retention_used(self, topic: str, partition: int, share: float) -> None:
        """Set the share of the retention that the unread records of a partition have used."""
        self._retention.labels(topic, str(partition)).set(share)

    def committed(self, batch: Batch, appended: Appended, seconds: float) -> None:
        """Count a committed batch."""
        counters = self.counters
        counters.received += batch.received
        counters.accepted += appended.accepted
        counters.duplicates += appended.duplicates
        counters.conflicts += appended.conflicts
        self._accepted.inc(appended.accepted)
        self._duplicates.inc(appended.duplicates)
        self._conflicts.inc(appended.conflicts)
        self._rejected.inc(len(batch.dead_letters))
        for reason, number in Counted(letter.reason for letter in batch.dead_letters).items():
            counters.rejected[reason] = counters.rejected.get(reason, 0) + number
            self._reasons.labels(reason.value).inc(number)
        if appended.conflicts:
            self._reasons.labels(Reason.CONFLICT.value).inc(appended.conflicts)
        self._seconds.observe(seconds)
        self._clock_behind.set(appended.clock_behind.total_seconds())
        if appended.database_clock is not None:
            now = datetime.now(UTC)
            self._clock_ahead.set(max(0.0, (appended.database_clock - now).total_seconds()))
            self._sources.received(batch.newest, now)

    def fenced(self) -> None:
        """Count a batch that was fenced."""
        self._fenced.inc()

    def retried(self, service: str) -> None:
        """Count a retry of the step `service`: append, open, start or kafka."""
        self._retries.labels(service).inc()

    def client_restarted(self, cause: str) -> None:
        """Count a replaced Kafka client."""
        self._client_restarts.labels(cause).inc()

    def partitions(self, assigned: int, opened: int) -> None:
        """Set the number of assigned partitions, and of open ones."""
        self._assigned.set(assigned)
        self._open.set(opened)

    def partition_stopped(self, topic: str, partition: int, offset: int) -> None:
        """Record that a partition is stopped at a damaged batch."""
        self._stopped.labels(topic, str(partition)).set(offset)

    def partition_goes_on(self, topic: str, partition: int) -> None:
        """Record that a stopped partition is read again, or that another process reads it now."""
        with suppress(KeyError):
            self._stopped.remove(topic, str(partition))

    def lag(self, topic: str, partition: int, records: int) -> None:
        """Set the lag of a partition."""
        self._lag.labels(topic, str(partition)).set(records)

    def forget_lag(self, topic: str, partition: int) -> None:
        """Remove the lag of a partition that another process reads now."""
        for gauge in (self._lag, self._retention):
            with suppress(KeyError):
                gauge.remove(topic, str(partition))
