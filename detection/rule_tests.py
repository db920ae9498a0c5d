"""Running the test events that rules carry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from detection.evaluation.detector import Detector
from detection.evaluation.firing import Firing, FiringKind
from detection.rules.rule import EventRule, Rule, RuleSet
from domain.event import RecordedEvent


class CaseResult(Struct, frozen=True):
    """The outcome of one case: `wanted` and `found` are whether the rule fires. `number` counts from 1."""

    rule: Rule
    number: int
    wanted: bool
    firings: tuple[Firing, ...]

    @property
    def found(self) -> bool:
        """Whether the rule fired."""
        return bool(self.firings)

    @property
    def passed(self) -> bool:
        """Whether it did as the case says."""
        return self.wanted is self.found


def run_tests(rules: RuleSet) -> Iterator[CaseResult]:
    """Every case of every rule, each with a detector of its own. A rule whose findings only feed others counts too."""
    for rule in rules:
        for wanted, cases in ((True, rule.tests.fires), (False, rule.tests.silent)):
            for number, events in enumerate(cases, 1):
                yield CaseResult(rule, number, wanted, tuple(_firings(rules, rule, events)))


def untested(rules: RuleSet) -> list[Rule]:
    """The rules that report or explain and have no case that fires, or none that is silent."""
    return [
        rule for rule in [*rules.reported, *rules.explaining] if not (rule.tests.fires and rule.tests.silent)
    ]


def _firings(rules: RuleSet, rule: Rule, events: Sequence[RecordedEvent]) -> Iterator[Firing]:
    chosen = rules.part(rule.head.id)
    if isinstance(rule, EventRule) and rule.explains:
        # What it explains is what it would find.
        chosen = RuleSet([replace(rule, explains=False)])
    detector = Detector(chosen, rule.tests.context)
    for firing in [*detector.feed(events), *detector.closing()]:
        if firing.kind is FiringKind.MATCH and firing.rule == rule.head.id:
            yield firing
