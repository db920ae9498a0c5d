"""Precision and recall of the shipped rules in the synthetic hospital, and what detection costs an event.

`python -m benchmarks detection [--days 100 --staff 200 --patients 2000 --seed 1] [--json FILE] [--context FOLDER]`
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import msgspec

from audit_trail.runtime.garbage_collection import spare_the_collector
from benchmarks.detection_cost import cost_of
from benchmarks.hospital.context import Context, canonical_tables, write_csv
from benchmarks.hospital.findings import Findings, RuleScore
from benchmarks.hospital.kinds import MISUSE
from benchmarks.hospital.people import Size
from benchmarks.hospital.simulation import Hospital
from benchmarks.report import machine
from detection.evaluation.detector import Detector
from detection.pack import pack_files
from detection.rules.rule import RuleSet
from detection.rules.rule_file import parse_rules
from domain.event import RecordedEvent

_BATCH = 500
COSTED = 60_000
"""Events by which the cost is measured: those of the first days."""


class Outcome(msgspec.Struct):
    """What was measured. `micros`: microseconds of detection an event. `state_...`: its saved state.

    `accesses`: of patients' records by staff, of which `explained` have a reason that a rule knows.

    `kinds`: of each kind of incident its name, how many are labelled, how many any rule found, and the rules.
    """

    events: int
    days: int
    micros: float
    state_bytes: int
    state_seconds: float
    not_evaluable: dict[str, tuple[str, ...]]
    accesses: int
    explained: int
    rules: list[RuleScore]
    kinds: list[tuple[str, int, int, list[str]]]


def evaluate(
    hospital: Hospital, rules: RuleSet, *, in_context: bool = True, kept: list[RecordedEvent] | None = None
) -> Outcome:
    """Run rules over the log of a hospital, with what is known each morning. `kept` gets its first events."""
    detector, findings = Detector(rules), Findings(rules)
    context = Context(hospital.site) if in_context else None
    count, seconds, accesses = 0, 0.0, Counter[bool]()
    for day, log in hospital.days():
        if context:
            detector.use(context.of(day))
        while batch := list(islice(log, _BATCH)):
            count += len(batch)
            if kept is not None and len(kept) < COSTED:
                kept += batch
            began = time.process_time()
            firings = detector.feed(batch)
            seconds += time.process_time() - began
            findings.add(firings)
        for each in detector.explanations():
            accesses[bool(each.rule)] += each.accesses
    began = time.process_time()
    state = detector.state()
    state_seconds = time.process_time() - began
    findings.add(detector.closing())
    incidents = hospital.incidents
    return Outcome(
        events=count,
        days=hospital.site.size.days,
        micros=seconds / count * 1e6,
        not_evaluable=detector.not_evaluable(),
        accesses=accesses.total(),
        explained=accesses[True],
        state_bytes=len(state),
        state_seconds=state_seconds,
        rules=findings.scores(incidents),
        kinds=findings.by_kind(incidents),
    )


def main(arguments: Sequence[str]) -> None:
    """Measure, print as tables for docs/benchmarks.md, and write JSON where asked."""
    options = _options(arguments)
    size = Size(seed=options.seed, days=options.days, staff=options.staff, patients=options.patients)
    facts = machine("none")
    print(f"{size.days} days of {size.staff:,} staff and {size.patients:,} patients", flush=True)
    hospital = Hospital(size)
    if options.context:
        write_csv(hospital.site, 0, options.context)
    documents = [(str(file), file.read_text(encoding="utf-8")) for file in pack_files()]
    kept: list[RecordedEvent] = []
    spare_the_collector()
    outcome = evaluate(hospital, parse_rules(documents), kept=kept)
    cost = cost_of(kept[:COSTED], documents, canonical_tables(hospital.site, 0), options.runs)
    lines = [f"{name}: {value}" for name, value in facts.items()]
    lines += [
        f"{outcome.events:,} events, {outcome.micros:.1f} microseconds of detection each",
        f"{outcome.explained:,} of {outcome.accesses:,} accesses are explained",
        *(f"not evaluable without {', '.join(tables)}: {id}" for id, tables in outcome.not_evaluable.items()),
        f"state at the end: {outcome.state_bytes:,} bytes, saved in {outcome.state_seconds:.2f} s",
    ]
    print("\n".join([*lines, "", *rule_lines(outcome), "", *kind_lines(outcome), "", *cost.lines()]))
    if options.json:
        result = {"machine": facts, "size": size, "outcome": outcome, "cost": cost}
        options.json.write_text(json.dumps(msgspec.to_builtins(result), indent=2) + "\n")


def rule_lines(outcome: Outcome) -> list[str]:
    """The table of rules."""
    lines = [
        "| rule | level | incidents | found | recall | alarms | right | precision | false a day | per 1,000 events |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for score in outcome.rules:
        false = score.alarms - score.right
        name = score.name if score.shipped else f"{score.name} (not shipped)"
        lines.append(
            f"| {name} | {score.level} | {score.expected} | {score.found} | {_share(score.recall)} | {score.alarms:,}"
            f" | {score.right:,} | {_share(score.precision)} | {false / outcome.days:.2f}"
            f" | {false / outcome.events * 1000:.4f} |"
        )
    lines += ["", "False alarms, by what they are about:", ""]
    for score in outcome.rules:
        if score.false:
            about = ", ".join(f"{kind} {count:,}" for kind, count in score.false.most_common())
            lines.append(f"- {score.name}: {about}")
    bounds = [f"{score.name} {score.limits}" for score in outcome.rules if score.limits]
    return [*lines, *(["", f"Bounds met: {', '.join(bounds)}"] if bounds else [])]


def kind_lines(outcome: Outcome) -> list[str]:
    """The table of kinds of incidents."""
    lines = ["| incident | | labelled | found by any rule | rules |", "|---|---|---|---|---|"]
    for name, count, found, rules in outcome.kinds:
        what = "misuse" if name in MISUSE else "work"
        lines.append(f"| {name} | {what} | {count} | {found} | {', '.join(rules)} |")
    return lines


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks detection", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--days", type=int, default=100)
    parser.add_argument("--staff", type=int, default=200)
    parser.add_argument("--patients", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=3, help="runs of the measurement of the cost")
    parser.add_argument(
        "--context", type=Path, metavar="FOLDER", help="write the context tables there as CSV"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there too")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
