"""What a benchmark found, as a table for people and as JSON for machines."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

import psutil


@dataclass(frozen=True)
class Result:
    """`ratio` is `ours` over `theirs`, each the median of its runs; `at_most` says which side of `goal` is good."""

    name: str
    ours: str
    theirs: str
    ours_runs: tuple[float, ...]
    theirs_runs: tuple[float, ...]
    goal: float
    unit: str = "events/s"
    at_most: bool = False
    notes: tuple[str, ...] = field(default=())

    @property
    def ratio(self) -> float:
        return median(self.ours_runs) / median(self.theirs_runs)

    @property
    def reached(self) -> bool:
        return self.ratio <= self.goal if self.at_most else self.ratio >= self.goal


def machine(broker: str) -> dict[str, str]:
    """What the numbers were measured on; no names and no paths."""
    return {
        "processors": f"{os.cpu_count()} ({platform.machine()})",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "broker": broker,
        "load before": f"{os.getloadavg()[0]:.1f}",
    }


def as_text(facts: dict[str, str], results: Sequence[Result]) -> str:
    """The table."""
    lines = [f"{name}: {value}" for name, value in facts.items()]
    for result in results:
        sign = "<=" if result.at_most else ">="
        verdict = "reached" if result.reached else "NOT reached"
        lines += [
            "",
            f"{result.name}: {result.ratio:.2f} (goal {sign} {result.goal:g}: {verdict})",
            f"    {result.ours:<58} {_runs(result.ours_runs)} {result.unit}",
            f"    {result.theirs:<58} {_runs(result.theirs_runs)} {result.unit}",
            *(f"    {note}" for note in result.notes),
        ]
    return "\n".join(lines)


def write_json(path: Path, facts: dict[str, str], results: Sequence[Result]) -> None:
    """All runs of all results, with the machine."""
    rows = [asdict(result) | {"ratio": result.ratio, "reached": result.reached} for result in results]
    path.write_text(json.dumps({"machine": facts, "results": rows}, indent=2) + "\n")


def _runs(values: Sequence[float]) -> str:
    spread = f"  ({', '.join(f'{value:,.0f}' for value in values)})" if len(values) > 1 else ""
    return f"{median(values):>12,.0f}{spread}"
