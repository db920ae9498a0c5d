"""The numbers of a publisher for prometheus_client: ``REGISTRY.register(PublisherCollector(trail))``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from audit_trail_publisher.counters import METRICS

PREFIX = "audit_trail_publisher_"


class _Measured(Protocol):
    @property
    def metrics(self) -> Callable[[], Mapping[str, float]]: ...


class PublisherCollector(Collector):
    """Asks the publisher when it is scraped. Counters get the suffix `_total`."""

    def __init__(self, trail: _Measured) -> None:
        self._trail = trail

    def describe(self) -> Iterator[Metric]:
        """The metrics without numbers, so that a registry need not open the spool to know their names."""
        return self._families({})

    def collect(self) -> Iterator[Metric]:
        """The metrics now."""
        return self._families(self._trail.metrics())

    def _families(self, numbers: Mapping[str, float]) -> Iterator[Metric]:
        for metric in METRICS:
            kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
            yield kind(PREFIX + metric.name, metric.help, value=numbers.get(metric.name, 0.0))
