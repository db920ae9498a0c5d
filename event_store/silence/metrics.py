"""How often the database was silent, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from event_store.silence.monitor import silences


class SilenceCollector(Collector):
    """Counts of the whole process, for any registry."""

    def collect(self) -> Iterator[CounterMetricFamily]:
        """The counter, with a value for each pool."""
        family = CounterMetricFamily(
            "audit_trail_database_silent",
            "Calls to the database that were ended because no answer came, by the name of the pool.",
            labels=["application"],
        )
        for name, count in list(silences.items()):
            family.add_metric([name], count)
        yield family
