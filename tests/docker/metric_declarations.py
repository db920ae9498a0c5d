"""Every metric that the product declares, read from its source: so a new one is checked without being listed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric

_KINDS = {
    "Counter": "counter",
    "Gauge": "gauge",
    "Histogram": "histogram",
    "CounterMetricFamily": "counter",
    "GaugeMetricFamily": "gauge",
}
_OUTSIDE = {"tests", "benchmarks", "docs", "build"}


class Declared(NamedTuple):
    """One metric. `name` is as Prometheus shows it: that of a counter ends with ``_total``."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...]
    where: str

    @property
    def samples(self) -> set[str]:
        """The names under which expressions find it."""
        if self.kind == "histogram":
            return {f"{self.name}_{part}" for part in ("bucket", "count", "sum")}
        return {self.name}


def declared(root: Path) -> list[Declared]:
    """The metrics of all packages of the product."""
    found: list[Declared] = []
    for path in sorted(root.glob("[a-z]*/**/*.py")):
        inside = path.relative_to(root)
        if inside.parts[0] not in _OUTSIDE:
            found += _of_file(path.read_text(encoding="utf-8"), inside.as_posix())
    return found


def _of_file(text: str, name: str) -> Iterator[Declared]:
    if "prometheus_client" not in text:
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _KINDS:
            yield _of_call(node, _KINDS[node.func.id], f"{name}:{node.lineno}")


def _of_call(call: ast.Call, kind: str, where: str) -> Declared:
    given = dict(zip(("name", "documentation", "labels"), call.args, strict=False))
    given |= {each.arg: each.value for each in call.keywords if each.arg}
    labels = given.get("labelnames") or given.get("labels")
    # Written out, and not put together: whoever looks for a metric finds it.
    name, help = (ast.literal_eval(given[each]) for each in ("name", "documentation"))
    return Declared(
        f"{name}_total" if kind == "counter" else name,
        kind,
        help,
        tuple(ast.literal_eval(labels)) if labels is not None else (),
        where,
    )


class _Sampled:
    """A collector that shows each of `metrics` once."""

    def __init__(self, metrics: list[Declared]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        for each in self._metrics:
            name = each.name.removesuffix("_total") if each.kind == "counter" else each.name
            metric = Metric(name, each.help, each.kind)
            labels = dict.fromkeys(each.labels, "x")
            if each.kind == "histogram":
                metric.add_sample(f"{name}_bucket", labels | {"le": "+Inf"}, 1)
                metric.add_sample(f"{name}_count", labels, 1)
                metric.add_sample(f"{name}_sum", labels, 0.5)
            else:
                metric.add_sample(each.name, labels, 1)
            yield metric


def exposition(metrics: list[Declared]) -> bytes:
    """A page of `/metrics` that has them all."""
    registry = CollectorRegistry()
    registry.register(_Sampled(metrics))
    return generate_latest(registry)
