"""The runner's metrics for Prometheus, by projection."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from projections.registry import Build


class RunnerMetrics:
    """The metrics of one runner, in `registry`."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or REGISTRY
        self._events = Counter(
            "audit_trail_projector_events",
            "Events that this process has applied.",
            ["projection"],
            registry=registry,
        )
        self._seconds = Histogram(
            "audit_trail_projector_batch_seconds",
            "How long a batch took, from its events to the commit of its rows.",
            ["projection"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
            registry=registry,
        )
        self._position = Gauge(
            "audit_trail_projector_position",
            "The checkpoint of the live build.",
            ["projection"],
            registry=registry,
        )
        self._lag = Gauge(
            "audit_trail_projector_lag",
            "Events of the log that the live build does not have yet.",
            ["projection"],
            registry=registry,
        )
        self._failed = Gauge(
            "audit_trail_projector_failed",
            "1 while a poison event stops the projection.",
            ["projection"],
            registry=registry,
        )
        self._feeding = Gauge(
            "audit_trail_projector_feeding",
            "0 while this process does not feed the projection: paused, or its code and its tables do not fit.",
            ["projection"],
            registry=registry,
        )

    def applied(self, name: str, position: int, events: int, seconds: float) -> None:
        """Count a committed batch, and how long it took."""
        self._seconds.labels(name).observe(seconds)
        self._events.labels(name).inc(events)
        self._position.labels(name).set(position)

    def registry_read(self, build: Build, *, feeding: bool) -> None:
        """Set the metrics of a live build from the registry."""
        self._position.labels(build.name).set(build.position)
        self._lag.labels(build.name).set(build.lag)
        self._failed.labels(build.name).set(build.failed_position is not None)
        self._feeding.labels(build.name).set(feeding)
