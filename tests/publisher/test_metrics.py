"""The numbers of a publisher, plain and for Prometheus, are complete and named as Prometheus wants."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from audit_trail_publisher.counters import METRICS
from audit_trail_publisher.errors import InvalidEventError
from audit_trail_publisher.prometheus import PREFIX, PublisherCollector
from tests.installed import installed
from tests.publisher.conftest import Make
from tests.publisher.scripted_api import ScriptedApi
from tests.waiting import eventually


def test_every_number_is_declared_and_exported(api: ScriptedApi, make: Make, spool: Path) -> None:
    trail = make(url=api.url, on_missing_actor="unknown")
    registry = CollectorRegistry()
    registry.register(PublisherCollector(trail))
    assert not spool.exists(), "a scrape opens the spool, but registering does not"
    trail.record.searched()
    trail.record.searched(actor="dr-smith")
    with pytest.raises(InvalidEventError):
        trail.record.searched(actor="dr-smith", patient="Patient/17")
    eventually(lambda: trail.health().spool_events == 0)
    numbers = trail.metrics()
    assert numbers.keys() == {metric.name for metric in METRICS}
    assert (numbers["kept_durable"], numbers["delivered"], numbers["missing_actors"]) == (2, 2, 1)
    assert numbers["invalid"] == 1
    text = generate_latest(registry).decode()
    assert f"{PREFIX}delivered_total 2.0" in text
    assert f"{PREFIX}spool_events 0.0" in text
    assert text.count("# HELP") == len(METRICS)


@pytest.mark.needs_program("promtool")
def test_promtool_finds_nothing_amiss(api: ScriptedApi, make: Make) -> None:
    registry = CollectorRegistry()
    registry.register(PublisherCollector(make(url=api.url)))
    done = subprocess.run(
        [installed("promtool") or "", "check", "metrics"],
        input=generate_latest(registry).decode(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
