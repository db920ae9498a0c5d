"""The metrics of access records."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class RecordingMetrics:
    """Counters of events, not of requests: a read of many patients is several events."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        self.recorded = Counter(
            "audit_trail_reads_recorded", "Events of reads and denials that Kafka has.", registry=registry
        )
        self.failed = Counter(
            "audit_trail_reads_record_failures",
            "Attempts to publish events of reads and denials that failed.",
            registry=registry,
        )
        self.unrecorded = Counter(
            "audit_trail_reads_unrecorded",
            "What became of reads whose record could not be kept: refused, flagged, or a denial that was dropped.",
            ("answer",),
            registry=registry,
        )
        self.waiting = Gauge(
            "audit_trail_reads_waiting", "Events of reads and denials that wait for Kafka.", registry=registry
        )
        self.up = Gauge("audit_trail_reads_recordable", "1 while reads can be recorded.", registry=registry)
        self.seconds = Histogram(
            "audit_trail_reads_record_seconds",
            "Time that an answer waited for its record.",
            registry=registry,
            buckets=_BUCKETS,
        )
