"""The guard's metrics for Prometheus."""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Sequence

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge

from event_store.integrity_findings import Certainty, Check, NewFinding, StoredFinding

LOG = "log"
"""The place of findings of verification: the log as a whole."""


class GuardMetrics:
    """The guard's metrics: published heads, verifications, findings."""

    def __init__(self, places: Sequence[str], registry: CollectorRegistry | None = None) -> None:
        registry = registry or REGISTRY
        self.published = Gauge(
            "audit_trail_guard_published_size",
            "Size of the newest head that a place has.",
            ["place"],
            registry=registry,
        )
        self.failures = Counter(
            "audit_trail_guard_publish_failures",
            "Heads that a place did not take, by reason.",
            ["place", "kind"],
            registry=registry,
        )
        self._findings = Gauge(
            "audit_trail_guard_findings",
            "Open findings by what found them and where. Each stays until its own cause is gone or it is closed.",
            ["check", "place"],
            registry=registry,
        )
        self._claims = Gauge(
            "audit_trail_guard_claims",
            "Open claims of a place that the log has two histories, without proof.",
            ["place"],
            registry=registry,
        )
        self.verified_size = Gauge(
            "audit_trail_guard_verified_size", "Up to which size the log was verified.", registry=registry
        )
        self.verified_at = Gauge(
            "audit_trail_guard_verified_timestamp_seconds",
            "When the last verification ended.",
            registry=registry,
        )
        self._known = {(Check.VERIFY, LOG), *((Check.PUBLISH, place) for place in places)}

    def show(self, findings: Sequence[StoredFinding]) -> None:
        """Show the open findings."""
        facts = Count((each.check, each.place) for each in findings if each.certainty is Certainty.FACT)
        claims = Count(each.place for each in findings if each.certainty is Certainty.CLAIM)
        self._known |= facts.keys() | {(Check.PUBLISH, place) for place in claims}
        for check, place in self._known:
            self._findings.labels(check.value, place).set(facts[check, place])
            if check is Check.PUBLISH:
                self._claims.labels(place).set(claims[place])

    def show_unstored(self, findings: Sequence[NewFinding]) -> None:
        """Show facts that the database does not have yet, while it is away."""
        facts = Count((each.check, each.place) for each in findings if each.certainty is Certainty.FACT)
        for (check, place), count in facts.items():
            self._findings.labels(check.value, place).set(count)
