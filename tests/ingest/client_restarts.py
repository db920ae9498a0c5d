"""A metric that several tests read."""

from __future__ import annotations

from prometheus_client import CollectorRegistry


def restarts(registry: CollectorRegistry) -> float:
    """How many Kafka clients were replaced."""
    return sum(
        sample.value
        for metric in registry.collect()
        if metric.name == "audit_trail_ingest_client_restarts"
        for sample in metric.samples
        if sample.name.endswith("_total")
    )
