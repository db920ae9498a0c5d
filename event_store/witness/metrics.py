"""The witness's metrics for Prometheus."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge

from event_store.witness.cosigner import Answer, CosigningResult


class WitnessMetrics:
    """The answers of a witness, and the largest cosigned tree of each log that it knows."""

    def __init__(self, sizes: Mapping[str, int], registry: CollectorRegistry | None = None) -> None:
        """`sizes` are those of the largest cosigned trees at the start, by origin."""
        registry = registry or REGISTRY
        self._answers = Counter(
            "audit_trail_witness_answers",
            "Requests to cosign a head, by result.",
            ["result"],
            registry=registry,
        )
        self._size = Gauge(
            "audit_trail_witness_cosigned_size",
            "Size of the largest tree of a log that this witness has cosigned.",
            ["origin"],
            registry=registry,
        )
        for result in CosigningResult:
            self._answers.labels(result.name.lower())
        for origin, size in sizes.items():
            self._size.labels(origin).set(size)

    def count(self, answer: Answer) -> None:
        """Count an answer."""
        self._answers.labels(answer.outcome.name.lower()).inc()
        if answer.outcome is CosigningResult.COSIGNED:
            self._size.labels(answer.origin).set(answer.size)
