"""How far the clocks of the sources differ from the time of receipt, as metrics."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from prometheus_client import CollectorRegistry, Gauge

MAX_SOURCES = 50
"""Sources with a label of their own. A sender chooses the name, and each label is kept in memory for ever."""
OTHERS = "(others)"
_NAME_LENGTH = 100  # characters


class SourceClocks:
    """Two gauges for each source: how far its newest event is ahead of its receipt, and how far behind.

    The first `MAX_SOURCES` sources have labels of their own. All others share one, with the largest values of a batch.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ahead = Gauge(
            "audit_trail_source_ahead_seconds",
            "How far the newest event of the last batch is ahead of its receipt, by reporting service.",
            ["service"],
            registry=registry,
        )
        self._behind = Gauge(
            "audit_trail_source_behind_seconds",
            "How far the newest event of the last batch is behind its receipt, by reporting service.",
            ["service"],
            registry=registry,
        )
        self._known: set[str] = set()

    def received(self, newest: Mapping[str, datetime], at: datetime) -> None:
        """Set the gauges of the sources in a batch. `newest` has the newest `occurred_at` of each."""
        others: list[float] = []
        for service, occurred_at in newest.items():
            seconds = (occurred_at - at).total_seconds()
            name = service[:_NAME_LENGTH]
            if name not in self._known and len(self._known) >= MAX_SOURCES:
                others.append(seconds)
                continue
            self._known.add(name)
            self._set(name, max(seconds, 0.0), max(-seconds, 0.0))
        if others:
            self._set(OTHERS, max(*others, 0.0), max(-min(others), 0.0))

    def _set(self, name: str, ahead: float, behind: float) -> None:
        self._ahead.labels(name).set(ahead)
        self._behind.labels(name).set(behind)
