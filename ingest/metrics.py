"""Ingest's numbers for Prometheus. Counted once per batch, since a labelled count costs as much as a decoded field."""

from __future__ import annotations

from collections import Counter as Counted
from contextlib import suppress
from typing import get_args

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from domain.errors import Reason
from event_store.append import Appended
from ingest.batch import Batch, Counters
from ingest.broker.bounded_calls import Cause

_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class IngestMetrics:
    """The counters of one ingest, in `registry` and as plain numbers."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or REGISTRY
        self.counters = Counters()
        self._records = Counter(
            "audit_trail_ingest_records",
            "Kafka records that were committed, by what became of them.",
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
            "From the start of a batch's transaction to its commit.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._retries = Counter(
            "audit_trail_ingest_retries", "Waits for a service that was away.", ["service"], registry=registry
        )
        self._fenced = Counter(
            "audit_trail_ingest_fenced",
            "Batches given up because another process had moved on.",
            registry=registry,
        )
        self._lag = Gauge(
            "audit_trail_ingest_lag_records",
            "Offsets in Kafka that are not in the store: of partitions read here, and of those that nobody reads.",
            ["topic", "partition"],
            registry=registry,
        )
        self._client_restarts = Counter(
            "audit_trail_ingest_client_restarts",
            "Kafka clients that were replaced because they had stopped in silence.",
            ["cause"],
            registry=registry,
        )
        for cause in get_args(Cause):
            self._client_restarts.labels(cause)
        self._assigned = Gauge(
            "audit_trail_ingest_partitions_assigned", "Partitions that are assigned here.", registry=registry
        )
        self._open = Gauge(
            "audit_trail_ingest_partitions_open", "Partitions that are read here.", registry=registry
        )
        self._stopped = Gauge(
            "audit_trail_ingest_partition_stopped",
            "Partitions that stand at a record that can't be read; the value is its offset.",
            ["topic", "partition"],
            registry=registry,
        )

        self._lost = Gauge(
            "audit_trail_ingest_offsets_lost",
            "Offsets whose records Kafka lost before they were read, and nobody has accepted that; at least these.",
            ["topic", "partition"],
            registry=registry,
        )
        self._gaps = Counter(
            "audit_trail_ingest_gaps", "Losses of records that were accepted, since ever.", registry=registry
        )
        self._gaps_known = 0
        self._retention = Gauge(
            "audit_trail_ingest_retention_used",
            "How near the oldest unread record is to be deleted by Kafka: 1 is deleted.",
            ["topic", "partition"],
            registry=registry,
        )

    def offsets_lost(self, topic: str, partition: int, offsets: int) -> None:
        """At least so many offsets of a partition are lost."""
        self._lost.labels(topic, str(partition)).set(offsets)

    def found_whole(self, topic: str, partition: int) -> None:
        """Nothing is lost of a partition, or it was accepted."""
        self._lost.labels(topic, str(partition)).set(0)

    def gaps(self, total: int) -> None:
        """Set how many losses were ever accepted: the log's own number, so that a restart keeps it."""
        self._gaps.inc(max(0, total - self._gaps_known))
        self._gaps_known = max(total, self._gaps_known)

    def retention_used(self, topic: str, partition: int, share: float) -> None:
        """Set which share of the retention the unread records of a partition have used."""
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

    def fenced(self) -> None:
        """Count a batch that was given up."""
        self._fenced.inc()

    def retried(self, service: str) -> None:
        """Count a wait for `database` or `kafka`."""
        self._retries.labels(service).inc()

    def client_restarted(self, cause: str) -> None:
        """Count a Kafka client that was given up."""
        self._client_restarts.labels(cause).inc()

    def partitions(self, assigned: int, opened: int) -> None:
        """Set how many partitions are assigned here, and how many of them are open."""
        self._assigned.set(assigned)
        self._open.set(opened)

    def partition_stopped(self, topic: str, partition: int, offset: int) -> None:
        """A partition is stopped at a damaged batch."""
        self._stopped.labels(topic, str(partition)).set(offset)

    def partition_goes_on(self, topic: str, partition: int) -> None:
        """A partition that was stopped is read again, or is read by another process now."""
        with suppress(KeyError):
            self._stopped.remove(topic, str(partition))

    def lag(self, topic: str, partition: int, records: int) -> None:
        """Set how far a partition is behind."""
        self._lag.labels(topic, str(partition)).set(records)

    def forget_lag(self, topic: str, partition: int) -> None:
        """A partition that is read by another process now has no lag here."""
        for gauge in (self._lag, self._retention):
            with suppress(KeyError):
                gauge.remove(topic, str(partition))
