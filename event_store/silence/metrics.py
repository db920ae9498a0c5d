"""A Prometheus collector for calls ended because the database was silent."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from event_store.silence.monitor import silences


class SilenceCollector(Collector):
    """Counts for the whole process, for any registry."""

    def collect(self) -> Iterator[CounterMetricFamily]:
        """The counter, with a value for each pool."""
        family = CounterMetricFamily(
            "audit_trail_database_silent",
            "Calls to the database that were ended for lack of an answer, by application name.",
            labels=["application"],
        )
        for name, count in list(silences.items()):
            family.add_metric([name], count)
        yield family
