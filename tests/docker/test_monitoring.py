"""The alert rules and the dashboard for Grafana name metrics that exist, and Prometheus takes the rules."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.installed import installed

ROOT = Path(__file__).parents[2]
RULES = ROOT / "docker/prometheus/alerts.yaml"
BOARD = ROOT / "docker/grafana/audit-trail.json"
_METRIC = re.compile(r"\baudit_trail_[a-z_]+")
_SUFFIX = re.compile(r"_(?:bucket|count|sum)$")


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load(RULES.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def expressions() -> Iterator[str]:
    yield from (each["expr"] for each in rules())
    for panel in json.loads(BOARD.read_text())["panels"]:
        yield from (each["expr"] for each in panel["targets"])


def test_each_metric_is_one_that_operators_can_look_up() -> None:
    documented = set(_METRIC.findall((ROOT / "docs/how-to/operate.md").read_text()))
    documented |= set(_METRIC.findall((ROOT / "docs/how-to/reads.md").read_text()))
    used = {_SUFFIX.sub("", name) for each in expressions() for name in _METRIC.findall(each)}
    assert used - documented == set()
    source = "\n".join(path.read_text() for path in ROOT.glob("[a-z]*/**/*.py") if "tests" not in path.parts)
    assert [name for name in used if name not in source and name.removesuffix("_total") not in source] == []


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
