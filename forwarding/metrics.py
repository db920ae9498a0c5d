"""The forwarder's metrics for Prometheus, by follower."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge

from forwarding.registry import FollowerState, Waiting

KINDS = ("away", "throttled", "rejected", "refused", "inconsistent", "defect")
"""Why a request failed: `rejected` is one record, `refused` is this client, `inconsistent` is the log itself."""


class ForwarderMetrics:
    """The metrics of one forwarder, in `registry`."""

    def __init__(self, followers: Sequence[str], registry: CollectorRegistry | None = None) -> None:
        registry = registry or REGISTRY
        self._records = Counter(
            "audit_trail_forward_records",
            "Records that the receiver has confirmed.",
            ["follower"],
            registry=registry,
        )
        self._failures = Counter(
            "audit_trail_forward_failures",
            "Requests that failed, by kind: away, throttled, rejected (one record), refused (this client), inconsistent"
            " (an event was altered in the database), defect.",
            ["follower", "kind"],
            registry=registry,
        )
        self._position = Gauge(
            "audit_trail_forward_position",
            "The checkpoint: the receiver has everything up to this position.",
            ["follower"],
            registry=registry,
        )
        self._lag = Gauge(
            "audit_trail_forward_lag_events",
            "Events of the log after the checkpoint.",
            ["follower"],
            registry=registry,
        )
        self._lag_seconds = Gauge(
            "audit_trail_forward_lag_seconds",
            "How long ago the first event after the checkpoint was recorded; 0 when there is none.",
            ["follower"],
            registry=registry,
        )
        self._stopped = Gauge(
            "audit_trail_forward_stopped",
            "1 while the receiver refuses one record for good.",
            ["follower"],
            registry=registry,
        )
        self._kept = Gauge(
            "audit_trail_forward_kept",
            "Refused records that wait for an operator.",
            ["follower"],
            registry=registry,
        )
        self._paused = Gauge(
            "audit_trail_forward_paused",
            "1 while an operator has paused it.",
            ["follower"],
            registry=registry,
        )
        self._active = Gauge(
            "audit_trail_forward_active",
            "1 in the process that forwards, 0 in one that waits for it to end.",
            registry=registry,
        )
        for name in followers:
            self._records.labels(name)
            self._stopped.labels(name)
            self._kept.labels(name)
            for kind in KINDS:
                self._failures.labels(name, kind)

    def delivered(self, name: str, records: int, position: int) -> None:
        """Count records that the receiver has."""
        self._records.labels(name).inc(records)
        self._position.labels(name).set(position)

    def failed(self, name: str, kind: str, *, poison: bool) -> None:
        """Count a failure."""
        self._failures.labels(name, kind).inc()
        self._stopped.labels(name).set(poison)

    def kept(self, name: str) -> None:
        """Count a refused record that is left behind."""
        self._failures.labels(name, "rejected").inc()

    def recovered(self, name: str) -> None:
        """The receiver takes records."""
        self._stopped.labels(name).set(0)

    def active(self, *, holds: bool) -> None:
        """Say whether this process is the one that forwards."""
        self._active.set(holds)

    def show(self, state: FollowerState, waiting: Waiting, kept: int) -> None:
        """Show what the database says of a follower."""
        self._kept.labels(state.name).set(kept)
        self._position.labels(state.name).set(state.position)
        self._paused.labels(state.name).set(state.paused_at is not None)
        self._lag.labels(state.name).set(waiting.events)
        self._lag_seconds.labels(state.name).set(waiting.seconds if waiting.events else 0)
