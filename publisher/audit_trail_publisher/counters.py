"""The numbers that a publisher tells: each declared once, with its kind and help."""

from __future__ import annotations

import threading
from typing import Literal, NamedTuple

from audit_trail_publisher.spool.spool import SpoolStatus


class Metric(NamedTuple):
    """A number. A counter begins at 0 with the process, or with the spool, as its help says."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str


METRICS = (
    Metric("kept_durable", "counter", "Events that this process kept in the spool."),
    Metric("kept_transactional", "counter", "Events that this process wrote into the outbox."),
    Metric("confirmed", "counter", "Events of this process whose proof it has."),
    Metric("unconfirmed", "counter", "Confirmed calls of this process that ended without a proof."),
    Metric("invalid", "counter", "Events of this process that were not valid, and not kept."),
    Metric("missing_actors", "counter", "Events of this process that nobody was the actor of."),
    Metric("spool_full", "counter", "Calls of this process that found no room in the spool, and failed."),
    Metric("delivered", "counter", "Events of the spool that the trail accepted."),
    Metric("failed_attempts", "counter", "Attempts to send that failed."),
    Metric("rejected_events", "gauge", "Events that the trail rejected, and that are kept."),
    Metric("spool_events", "gauge", "Events that wait in the spool."),
    Metric("spool_bytes", "gauge", "The bytes of the events that wait in the spool."),
    Metric("oldest_unsent_seconds", "gauge", "How long the oldest event has waited."),
    Metric("outbox_events", "gauge", "Events that wait in the outbox."),
    Metric("outbox_oldest_seconds", "gauge", "How long the oldest event of the outbox has waited."),
    Metric(
        "outbox_rejected_events", "gauge", "Events of the outbox that the trail rejected, and that are kept."
    ),
)


class Counters:
    """The counters of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}

    def add(self, name: str) -> None:
        """Count one."""
        with self._lock:
            self._counts[name] = self._counts.get(name, 0) + 1

    def reset(self) -> None:
        """Begin again, in a forked process."""
        self._lock = threading.Lock()
        self._counts = {}

    def together(self, spool: SpoolStatus) -> dict[str, float]:
        """Every number of `METRICS` by name, without a prefix."""
        found: dict[str, float] = dict.fromkeys((metric.name for metric in METRICS), 0.0)
        return (
            found
            | self._counts
            | {
                "delivered": spool.delivered,
                "failed_attempts": spool.failures,
                "rejected_events": spool.rejected,
                "spool_events": spool.events,
                "spool_bytes": spool.bytes,
                "oldest_unsent_seconds": spool.oldest_unsent_seconds,
            }
        )
