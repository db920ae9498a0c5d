"""What is left of the rules for events of one type, and with the same values of fields that have few.

Most events differ in nothing else that rules ask: they are decided by two look-ups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple

from detection.evaluation.explaining import Explainer, may_be_access
from detection.evaluation.matching import (
    Test,
    few_valued,
    parts_in_context,
    specialised,
    test_of,
    with_values,
)
from detection.evaluation.verdicts import KeptVerdicts, Verdicts, can_be_kept
from detection.rules.event_fields import Scalar
from detection.rules.expressions import And, Expression
from detection.rules.rule import EventRule
from domain.catalogue import ALERT_RAISED
from domain.event import RecordedEvent

_MAX_COMBINATIONS = 1000
"""Rules that match one event, whose order is kept."""

Hit = tuple[int, int]
"""The order of a correlation, and the number of its member, negative: so a correlation's last member comes first."""


class Fed(NamedTuple):
    """A rule for single events, whether it reports, and what it feeds."""

    rule: EventRule
    reports: bool
    feeds: tuple[Hit, ...]


class Check(NamedTuple):
    """What a rule asks of the event alone. `test` is None when all events match. `bit`: its place, as a number."""

    bit: int
    test: Test | None
    rule: EventRule
    reports: bool
    feeds: tuple[Hit, ...]


class SeeingCheck(NamedTuple):
    """The same for a rule that sees an event in its context. `first`: what it asks of the event itself.

    `place`: of the rule in the set. `kept`: its condition, of which the verdicts are kept; without `first` when that
    asks for more than can be kept, and is asked each time. None when none can.
    """

    first: Test | None
    test: Test
    rule: EventRule
    place: int
    kept: Expression | None
    reports: bool
    feeds: tuple[Hit, ...]


class Hits(dict[int, tuple[Hit, ...]]):
    """What is fed by rules, in order, by their bits.

    `always`: by rules that all events match, and that report nothing.
    """

    def __init__(self, always: Sequence[Hit], checks: Sequence[Check]) -> None:
        super().__init__()
        self._always = always
        self._checks = checks

    def __missing__(self, matched: int) -> tuple[Hit, ...]:
        feeds = (hit for each in self._checks if each.bit & matched for hit in each.feeds)
        if len(self) >= _MAX_COMBINATIONS:
            self.clear()
        found = self[matched] = tuple(sorted([*self._always, *feeds]))
        return found


class Checks(NamedTuple):
    """The rules for some events: those for the event alone, and those that see it in its context.

    `hits`: what is fed, in order, by the bits of the rules in `plain` that match. `asked_each_time`: those of
    `in_context` whose verdicts can't be kept. `explained`: such an event may be an access that rules explain.
    `looks_up`: it is seen in its context; `all_kept`: all that is asked there can be kept.
    """

    plain: tuple[Check, ...]
    hits: Hits
    in_context: tuple[SeeingCheck, ...]
    asked_each_time: tuple[SeeingCheck, ...]
    of_patient: Verdicts | None
    of_actor: Verdicts | None
    explained: bool
    looks_up: bool
    all_kept: bool


class _Left(NamedTuple):
    place: int
    fed: Fed
    expression: Expression | bool


class CheckedType:
    """The checks for events of one type. `read`: what tells its events apart; `made`: the checks by that.

    Whatever senders send, there are no more than the fields with few values have combinations: 288 in all.
    """

    def __init__(
        self, type: str, left: Sequence[_Left], make: Callable[[str, Sequence[_Left]], Checks]
    ) -> None:
        self._type = type
        self._left = left
        self._make = make
        self._fields = few_valued(each.expression for each in left)
        self.read: Callable[[RecordedEvent], object] = attrgetter(
            "event.type", *(f"event.{name}" for name in self._fields)
        )
        self.made: dict[object, Checks] = {}

    def checks(self, recorded: RecordedEvent) -> Checks:
        """The checks for an event and all others that are told apart in nothing."""
        values: dict[str, Scalar] = {name: attrgetter(name)(recorded.event) for name in self._fields}
        left = [each._replace(expression=with_values(each.expression, values)) for each in self._left]
        found = self.made[self.read(recorded)] = self._make(
            self._type, [each for each in left if each.expression is not False]
        )
        return found


class CheckMaker:
    """Makes the checks of rules for single events. Rules that ask the same of events share their verdicts."""

    def __init__(self, rules: Sequence[Fed], explaining: Iterable[EventRule], explainer: Explainer) -> None:
        self._rules = rules
        self._explainer = explainer
        self.explanations_are_kept = all(can_be_kept(rule.expression) for rule in explaining)
        self.kept = KeptVerdicts()
        self._shared: dict[object, Verdicts] = {}

    def of_type(self, type: str) -> CheckedType:
        """The checks for events of a type."""
        access = may_be_access(type)
        # A rule that finds its own alerts would raise them for ever.
        rules = () if type == ALERT_RAISED else self._rules
        left = (_Left(place, fed, specialised(fed.rule.expression, type)) for place, fed in enumerate(rules))
        asked = [each for each in left if each.expression is not False]
        return CheckedType(
            type, [each for each in asked if access or not each.fed.rule.unexplained], self._checks
        )

    def _checks(self, type: str, left: Sequence[_Left]) -> Checks:
        alone = [each for each in left if not each.fed.rule.looks_up]
        always = [hit for each in alone if _is_silent(each) for hit in each.fed.feeds]
        plain = [
            Check(1 << number, None if each.expression is True else test_of(each.expression), *each.fed)
            for number, each in enumerate(each for each in alone if not _is_silent(each))
        ]
        seeing = [check for each in left if each.fed.rule.looks_up for check in self._seeing(each)]
        explained = may_be_access(type) and not self._explainer.is_empty
        return Checks(
            tuple(plain),
            Hits(always, plain),
            tuple(seeing),
            tuple(each for each in seeing if each.kept is None),
            self._verdicts(type, seeing, of_patient=True, explained=explained),
            self._verdicts(type, seeing, of_patient=False, explained=False),
            explained,
            explained or bool(seeing),
            all(each.kept is not None for each in seeing) and (self.explanations_are_kept or not explained),
        )

    def _seeing(self, left: _Left) -> Iterator[SeeingCheck]:
        parts = parts_in_context(left.expression)
        if parts is None:
            return
        plain, rest = parts
        rule = left.fed.rule
        first: Test | None = test_of(plain)
        kept: Expression | None = None
        if can_be_kept(rest, of_patient=rule.by_patient) and (
            self.explanations_are_kept or not rule.unexplained
        ):
            kept = rest
            if can_be_kept(plain, of_patient=False):
                first, kept = None, And((plain, rest))
        yield SeeingCheck(
            first, test_of(kept or rest), rule, left.place, kept, left.fed.reports, left.fed.feeds
        )

    def _verdicts(
        self, type: str, checks: Sequence[SeeingCheck], *, of_patient: bool, explained: bool
    ) -> Verdicts | None:
        kept = [each for each in checks if each.kept is not None and each.rule.by_patient is of_patient]
        explain = self._explainer if explained and self.explanations_are_kept else None
        if not kept and explain is None:
            return None
        asked = (
            tuple(explain.conditions(type)) if explain else None,
            tuple((each.place, each.kept) for each in kept),
        )
        found = self._shared.get(asked)
        if found is None:
            tests = [(each.place, each.rule.unexplained, each.test) for each in kept]
            found = self._shared[asked] = Verdicts(
                explain.explained_by if explain else None, tests, self.kept
            )
        return found


def _is_silent(left: _Left) -> bool:
    """Whether all events match a rule that reports nothing."""
    return left.expression is True and not left.fed.reports
