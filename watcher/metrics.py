"""The watcher's metrics for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge

from domain.event import AuditEvent
from watcher.observations import Observation
from watcher.target_state import State, TargetState


class WatchMetrics:
    """The state of each target, its checks, and the events about it."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or REGISTRY
        self._up = Gauge(
            "audit_trail_watch_target_up",
            "Whether a target is up (1) or down (0), by its rule; absent while that is not known.",
            ["target"],
            registry=registry,
        )
        self._checks = Counter(
            "audit_trail_watch_checks",
            "Checks of a target by result: ok, or the class of the error.",
            ["target", "result"],
            registry=registry,
        )
        self._seconds = Gauge(
            "audit_trail_watch_check_seconds",
            "How long the last check of a target took.",
            ["target"],
            registry=registry,
        )
        self._checked = Gauge(
            "audit_trail_watch_checked_timestamp_seconds",
            "When the last check of a target began.",
            ["target"],
            registry=registry,
        )
        self._expires = Gauge(
            "audit_trail_watch_certificate_expires_timestamp_seconds",
            "When the certificate of a target expires.",
            ["target"],
            registry=registry,
        )
        self._events = Counter(
            "audit_trail_watch_events",
            "Events that the watcher decided, by type.",
            ["type"],
            registry=registry,
        )
        self.waiting = Gauge(
            "audit_trail_watch_events_waiting",
            "Events that are decided and not in Kafka yet.",
            registry=registry,
        )
        self.active = Gauge(
            "audit_trail_watch_active",
            "Whether this process checks (1) or waits for another watcher (0).",
            registry=registry,
        )
        self._late = Gauge(
            "audit_trail_watch_late_seconds",
            "By how many seconds the most overdue check is late, because all threads are busy.",
            registry=registry,
        )

    def show_lateness(self, late_seconds: Callable[[], float]) -> None:
        """Take the lateness from this function."""
        self._late.set_function(late_seconds)

    def hide_targets(self) -> None:
        """Show no target: this process no longer looks, and what it knew gets old."""
        for each in (self._up, self._seconds, self._checked, self._expires):
            each.clear()

    def show_check(self, seen: Observation, state: TargetState) -> None:
        """Show a check, and the state after it."""
        error, expires = seen.finding.error, seen.finding.expires_at
        self._checks.labels(seen.name, "ok" if error is None else error.kind.value).inc()
        self._seconds.labels(seen.name).set(seen.seconds)
        self._checked.labels(seen.name).set(seen.at.timestamp())
        if expires is not None:
            self._expires.labels(seen.name).set(expires.timestamp())
        self.show_state(seen.name, state)

    def show_state(self, name: str, state: TargetState) -> None:
        """Show the state of a target, also of one that was not checked yet."""
        if state.state is not State.UNKNOWN:
            self._up.labels(name).set(state.state is State.UP)

    def count_events(self, events: Sequence[AuditEvent]) -> None:
        """Count decided events."""
        for event in events:
            self._events.labels(event.type).inc()
