"""The processor time of detection for each event: the shipped rules over hours of the simulated clinic.

`python -m benchmarks.detection [EVENTS]`. Nothing is read from a database: this is the evaluation alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from benchmarks.corpus import make_corpus
from detection.context.index import ContextIndex
from detection.evaluation.detector import Detector
from detection.pack import pack_files
from detection.rules.rule import EventRule, RuleSet
from detection.rules.rule_file import read_rules
from domain.event import Actor, RecordedEvent
from domain.validation import decode_event

_BATCH = 500
_DEPARTMENTS = ("emergency", "cardiology", "surgery", "laboratory")
_MANY = 10_000
"""Actors of the last case: each has windows, and a past of its own."""


def main() -> None:
    """Print microseconds of processor time an event, the best of three runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("events", type=int, nargs="?", default=60_000)
    log = list(_log(parser.parse_args().events))
    pack = read_rules(pack_files())
    alone = _without(pack, lambda rules: bool(rules.explaining) or any(map(_looks_up, rules)))
    unusual = read_rules([file for file in pack_files() if file.stem == "unusual_number_of_patients"])
    context = _context(log)
    crowd = [_by(recorded, f"user-{recorded.position % _MANY}") for recorded in log]
    for name, rules, known, events in (
        ("rules that need the log alone", alone, ContextIndex(), log),
        ("the whole pack, without context", pack, ContextIndex(), log),
        ("the whole pack in context", pack, context, log),
        ("the whole pack in context, 10,000 actors", pack, context, crowd),
        ("the baseline alone, 10,000 actors", unusual, ContextIndex(), crowd),
    ):
        took, state = min(_run(rules, known, events) for _ in range(3))
        print(
            f"{name:42} {len(rules):3} rules {took / len(log) * 1e6:6.1f} us an event, state {state:,} bytes"
        )


def _log(events: int) -> Iterator[RecordedEvent]:
    now = None
    for position, message in enumerate(make_corpus(events).messages):
        event = decode_event(message)
        now = event.occurred_at if now is None else max(now, event.occurred_at)
        yield RecordedEvent(
            position=position, recorded_at=now, stream=UUID(int=0), stream_position=position, event=event
        )


def _by(recorded: RecordedEvent, actor: str) -> RecordedEvent:
    return replace(recorded, event=replace(recorded.event, actor=Actor(id=actor)))


def _run(rules: RuleSet, context: ContextIndex, log: Sequence[RecordedEvent]) -> tuple[float, int]:
    detector = Detector(rules, context)
    began = time.process_time()
    for start in range(0, len(log), _BATCH):
        detector.feed(log[start : start + _BATCH])
    return time.process_time() - began, len(detector.state())


def _looks_up(rule: Any) -> bool:
    return isinstance(rule, EventRule) and rule.looks_up


def _without(pack: RuleSet, unwanted: Callable[[RuleSet], bool]) -> RuleSet:
    """The rules of the files whose sets are wanted."""
    files = [file for file in pack_files() if not unwanted(read_rules([file]))]
    assert len(files) < len(pack_files()), len(pack)
    return read_rules(files)


def _context(log: Sequence[RecordedEvent]) -> ContextIndex:
    """Every person and patient of the log, with three encounters each and a roster of four weeks."""
    staff = sorted({each.event.actor.id for each in log if each.event.actor.id})
    patients = sorted({patient.id for each in log for patient in each.event.patients})
    days = [timedelta(days=number) for number in range(28)]
    start = log[0].recorded_at.replace(hour=6)
    return ContextIndex.of(
        {
            "staff": [
                {"id": id, "departments": [_DEPARTMENTS[n % 4]], "family_name": f"name {n % 200}"}
                for n, id in enumerate(staff)
            ],
            "patients": [
                {"id": id, "family_name": f"name {n % 200}", "department": _DEPARTMENTS[n % 4]}
                for n, id in enumerate(patients)
            ],
            "encounters": [
                {"id": f"{id}-{n}", "patient": id, "department": _DEPARTMENTS[n], "starts_at": start}
                for id in patients
                for n in range(3)
            ],
            "rosters": [
                {"staff": id, "starts_at": start + day, "ends_at": start + day + timedelta(hours=12)}
                for id in staff
                for day in days
            ],
            **{name: [] for name in ("care_teams", "orders", "referrals", "billing", "vips")},
            "service_accounts": [{"id": "laboratory", "networks": ["10.0.0.0/8"]}],
        }
    )


if __name__ == "__main__":
    main()
