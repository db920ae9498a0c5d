"""Metrics have names as Prometheus wants them; the alert rules and Grafana's dashboard name metrics that exist."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docker.metric_declarations import Declared, declared, exposition
from tests.docker.metric_rules import faults
from tests.installed import installed

ROOT = Path(__file__).parents[2]
RULES = ROOT / "docker/prometheus/alerts.yaml"
BOARD = ROOT / "docker/grafana/audit-trail.json"
METRICS = declared(ROOT)
_METRIC = re.compile(r"\baudit_trail_[a-z_]+")
_HISTOGRAM = re.compile(r"_(?:bucket|count|sum)$")


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load(RULES.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def expressions() -> Iterator[str]:
    yield from (each["expr"] for each in rules())
    for panel in json.loads(BOARD.read_text())["panels"]:
        yield from (each["expr"] for each in panel["targets"])


def test_each_metric_is_one_that_exists_and_that_operators_can_look_up() -> None:
    used = {name for each in expressions() for name in _METRIC.findall(each)}
    assert used - {sample for metric in METRICS for sample in metric.samples} == set()
    pages = (path.read_text() for path in (ROOT / "docs/how-to").glob("*.md"))
    documented = set(_METRIC.findall("\n".join(pages)))
    assert {_HISTOGRAM.sub("", name) for name in used} - documented == set()


def test_each_label_is_one_of_a_metric_in_its_expression() -> None:
    labels = {sample: {*metric.labels, "le"} for metric in METRICS for sample in metric.samples}
    for each in rules():
        named = set(re.findall(r"\$labels\.([a-z_]+)", each["annotations"]["summary"]))
        found = [labels[name] for name in _METRIC.findall(each["expr"])] or [{"instance", "job"}]
        assert named <= set().union(*found), each["alert"]


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_is_named_as_prometheus_asks(metric: Declared) -> None:
    assert list(faults(metric)) == [], metric.where
    assert metric.name.startswith("audit_trail_")


def test_the_rules_of_names_find_what_promtool_finds() -> None:
    """Names that `promtool check metrics` refuses."""
    bad = [
        Declared("audit_trail_requests", "counter", "x", (), ""),
        Declared("audit_trail_lag_total", "gauge", "x", (), ""),
        Declared("audit_trail_wait_milliseconds", "gauge", "x", (), ""),
        Declared("audit_trail_age_days", "gauge", "x", (), ""),
        Declared("audit_trail_wait_ms", "gauge", "x", (), ""),
        Declared("audit_trail_size_gauge", "gauge", "x", (), ""),
        Declared("audit_trail_event_count", "gauge", "x", (), ""),
        Declared("audit_trail_logSize", "gauge", "x", (), ""),
        Declared("audit_trail_size", "gauge", "x", ("logName",), ""),
        Declared("audit_trail_size", "gauge", "x", ("le",), ""),
        Declared("audit_trail_size", "gauge", "", (), ""),
    ]
    assert [metric.name for metric in bad if not list(faults(metric))] == []
    if installed("promtool"):
        assert [metric.name for metric in bad if checked([metric]).returncode == 0] == []


def test_no_metric_is_declared_twice() -> None:
    """Two of one name in one process would refuse to start; of several processes, nobody could tell which it is."""
    names = [metric.name for metric in METRICS]
    assert sorted({name for name in names if names.count(name) > 1}) == []
    assert len(names) > 40


def test_each_alert_says_what_is_wrong_and_how_urgent_it_is() -> None:
    names = [each["alert"] for each in rules()]
    assert len(names) == len(set(names))
    for each in rules():
        assert each["annotations"]["summary"]
        assert each["labels"]["severity"] in {"warning", "critical"}


@pytest.mark.needs_program("promtool")
def test_prometheus_takes_the_rules() -> None:
    done = subprocess.run(
        [installed("promtool") or "", "check", "rules", str(RULES)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def checked(metrics: list[Declared]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [installed("promtool") or "", "check", "metrics"],
        input=exposition(metrics).decode(),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.needs_program("promtool")
def test_prometheus_takes_the_metrics() -> None:
    done = checked(METRICS)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
