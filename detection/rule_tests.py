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
    detector = Detector(_tested(rules, rule), rule.tests.context)
    for firing in [*detector.feed(events), *detector.closing()]:
        if firing.kind is FiringKind.MATCH and firing.rule == rule.head.id:
            yield firing


def _tested(rules: RuleSet, rule: Rule) -> RuleSet:
    """The rule with those that it refers to. Rules explain if the context of the test has their tables.

    What a rule explains is what it would find.
    """
    if isinstance(rule, EventRule) and rule.explains:
        return RuleSet([replace(rule, explains=False)])
    context, part = rule.tests.context, rules.part(rule.head.id)
    unusable = {each.head.id for each in part.explaining if not all(map(context.has, each.needs))}
    return RuleSet([each for each in part if each.head.id not in unusable])
