"""Verdicts that are kept change nothing of what is found, to the very ends of the times of rows."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest

from detection.context.index import ContextIndex, TableRows
from detection.context.rows import encode_row, make_row
from detection.context.tables import TABLES
from detection.evaluation import verdicts
from detection.evaluation.detector import Detector
from domain.event import RecordedEvent
from tests.detection.small_logs import A, B, C, D, event, rule, rules

DURING = {"from": "starts_at", "until": "ends_at"}
STAY = {"table": "encounters", "where": {"patient": "patients.id"}, "when": DURING}
DUTY = {"table": "rosters", "where": {"staff": "actor.id"}, "when": DURING}
HOUR = 3600
FIRST, SECOND = "2026-01-05T13:00:00Z", "2026-01-05T14:00:00Z"
CONTEXT = ContextIndex.of(
    {
        "encounters": [
            {"id": "e-1", "patient": "p-1", "starts_at": FIRST, "ends_at": SECOND},
            {"id": "e-2", "patient": "p-1", "starts_at": SECOND, "ends_at": "2026-01-05T15:00:00Z"},
            {"id": "e-3", "patient": "p-2", "starts_at": SECOND},
        ],
        "rosters": [{"staff": "ada", "starts_at": FIRST, "ends_at": SECOND}],
    }
)
OTHER_STAYS = [
    {"id": "e-1", "patient": "p-1", "starts_at": SECOND},
    {"id": "e-3", "patient": "p-2", "starts_at": SECOND},
    {"id": "e-4", "patient": "p-3", "starts_at": FIRST, "ends_at": "2026-01-05T14:30:00Z"},
]
E, F = (f"00000000-0000-4000-8000-00000000000{letter}" for letter in "ef")


def seeing(id: str, lookup: dict[str, Any], lines: dict[str, Any], **settings: Any) -> str:
    return rule({"s": lines, "condition": "s"}, id, audit_trail={"context": {"row": lookup}, **settings})


RULES = rules(
    seeing(A, STAY, {"row|exists": True}, explains=True),
    seeing(B, DUTY, {"row|exists": False, "type": "record.read"}, unexplained=True),
    seeing(C, DUTY, {"row|exists": True, "outcome": "success"}),
    seeing(D, STAY, {"row": 2}),
    seeing(E, STAY, {"row|exists": True, "client.address": "10.0.0.1"}),
    seeing(F, {**DUTY, "when": {**DURING, "at": "recorded_at"}}, {"row|exists": True}),
)


def log(seed: int) -> list[RecordedEvent]:
    """Events at the ends of the rows and a microsecond beside them, in a random order of the source's clock."""
    random = Random(seed)
    times = [hour * HOUR + beside for hour in (1, 2, 3) for beside in (-1e-6, 0, 1e-6)] + [9 * HOUR]
    return [
        event(
            position,
            position * 60,
            occurred=random.choice(times),
            type=random.choice(["record.read", "record.updated"]),
            actor={"id": random.choice(["ada", "grace"]), "kind": random.choice(["user", "service"])},
            outcome=random.choice(["success", "minor_failure"]),
            client={"address": random.choice(["10.0.0.1", "10.0.0.2"])},
            resources=[{"type": "Patient", "id": "p"}],
            patients=[{"id": each} for each in random.sample(["p-1", "p-2", "p-3"], random.randrange(4))],
        )
        for position in range(120)
    ]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kept", [1, verdicts.MAX_KEPT])
def test_what_is_kept_is_what_would_be_found_anew(
    seed: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdicts, "MAX_KEPT", kept)
    events = log(seed)
    detector = Detector(RULES, CONTEXT)
    found = detector.feed(events)
    anew, explained = [], Counter[tuple[str, str]]()
    for each in events:
        fresh = Detector(RULES, CONTEXT)
        anew += fresh.feed([each])
        for one in fresh.explanations():
            explained[one.rule, one.department] += one.accesses
    assert found == anew
    assert {each.rule for each in found} == {B, C, D, E, F}
    assert {(each.rule, each.department): each.accesses for each in detector.explanations()} == explained


def of_tables(**tables: TableRows) -> ContextIndex:
    return ContextIndex(tables.values())


@pytest.mark.parametrize("seed", range(3))
def test_another_version_of_a_table_counts_at_once(seed: int) -> None:
    """Each context differs from the one before in something else: a table, the ids of a patient, a new table."""

    def table(name: str, rows: list[dict[str, Any]]) -> TableRows:
        return TableRows(TABLES[name], sorted(encode_row(make_row(TABLES[name], row)) for row in rows))

    first = table("encounters", [{"id": "e-1", "patient": "p-1", "starts_at": FIRST, "ends_at": SECOND}])
    other = table("encounters", OTHER_STAYS)
    duty = table("rosters", [{"staff": "ada", "starts_at": FIRST, "ends_at": SECOND}])
    longer = table("rosters", [{"staff": "ada", "starts_at": FIRST, "ends_at": "2026-01-05T20:00:00Z"}])
    alone = table("patients", [{"id": "p-1"}, {"id": "p-2"}])
    together = table("patients", [{"id": "p-1", "other_ids": ["p-2"]}])
    contexts = [
        of_tables(encounters=first, rosters=duty, patients=alone),
        of_tables(encounters=other, rosters=duty, patients=alone),
        of_tables(encounters=other, rosters=longer, patients=alone),
        of_tables(encounters=other, rosters=longer, patients=together),
        of_tables(encounters=other, patients=together),
    ]
    events = log(seed)
    kept = Detector(RULES)
    found, anew = [], []
    for number in range(0, len(events), 10):
        context = contexts[number // 10 % len(contexts)]
        kept.use(context)
        part = events[number : number + 10]
        found += kept.feed(part)
        anew += Detector(RULES, context).feed(part)
    assert found == anew
    assert {each.rule for each in found} == {B, C, D, E, F}
