"""The detector: rules over events in the order of the log, with a state that can be saved between any two events."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from detection.context.index import ContextIndex
from detection.evaluation.evaluability import missing_tables
from detection.evaluation.explaining import Explained, Explainer, is_access, may_be_access
from detection.evaluation.firing import Firing
from detection.evaluation.matching import Test, parts_in_context, reasons, test_for_type, test_of
from detection.evaluation.moments import moment
from detection.evaluation.reporting import Due
from detection.evaluation.states import state_of
from detection.evaluation.verdicts import Verdicts, Views, can_be_kept
from detection.rules.expressions import And, Expression
from detection.rules.lookups import KeptContext, Subject
from detection.rules.rule import CorrelationRule, EventRule, RuleSet
from domain.catalogue import CATALOGUE
from domain.errors import ConfigurationError
from domain.event import RecordedEvent

_VERSION = 3
_SPARE_DUE = 10_000
"""Ends of windows that may be left over from groups that were forgotten, before they are removed."""


_Hit = tuple[int, int]
"""The order of a correlation, and the number of its member, negative: so a correlation's last member comes first."""


class _Check(NamedTuple):
    """A rule for events of one type. `test` is None when the type alone decides. `feeds`: see `_Hit`."""

    test: Test | None
    rule: EventRule
    reports: bool
    feeds: tuple[_Hit, ...]


class _SeeingCheck(NamedTuple):
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
    feeds: tuple[_Hit, ...]


class _Checks(NamedTuple):
    """The rules for events of one type: those for the event alone, and those that see it in its context.

    `asked_each_time`: those of `in_context` whose verdicts can't be kept. `explained`: such an event may be an access
    that rules explain.
    """

    plain: tuple[_Check, ...]
    in_context: tuple[_SeeingCheck, ...]
    asked_each_time: tuple[_SeeingCheck, ...]
    of_patient: Verdicts | None
    of_actor: Verdicts | None
    explained: bool


class Detector:
    """Evaluates rules over the log: the same events, rules and context give the same firings, however the log is cut.

    One look-up by the type of an event finds the rules that it can match.
    """

    def __init__(self, rules: RuleSet, context: ContextIndex | None = None) -> None:
        self._rules = rules
        self._due: list[Due] = []
        self._compact_above = _SPARE_DUE
        self._now = 0
        reported = {rule.head.id for rule in rules.reported}
        correlations = [rule for rule in rules if isinstance(rule, CorrelationRule)]
        self._correlating = [
            state_of(
                rule,
                order,
                [rules[id] for id in rule.members],
                reports=rule.head.id in reported,
                due=self._due,
            )
            for order, rule in enumerate(correlations)
        ]
        self._reported = reported
        self._explainer = Explainer((), KeptContext(ContextIndex()))
        self.use(context or ContextIndex())

    def use(self, context: ContextIndex) -> None:
        """From the next event on, this is the context. Windows stay as they are."""
        counted = self._explainer.packed()
        self._context = KeptContext(context)
        self._missing = missing_tables(self._rules, context)
        self._explainer = Explainer(self._rules.explaining, self._context)
        self._explainer.unpack(counted)
        feeds: dict[str, list[_Hit]] = {}
        for each in self._correlating:
            if each.rule.head.id not in self._missing:
                for member, id in enumerate(each.rule.members):
                    feeds.setdefault(id, []).append((each.order, -member))
        self._feeds = [tuple(feeds.get(each.rule.head.id, ())) for each in self._correlating]
        self._event_rules = [
            (rule, rule.head.id in self._reported, tuple(feeds.get(rule.head.id, ())))
            for rule in self._rules
            if isinstance(rule, EventRule) and not rule.explains and rule.head.id not in self._missing
        ]
        self._explanations_are_kept = all(can_be_kept(rule.expression) for rule in self._rules.explaining)
        self._verdicts: dict[Any, Verdicts] = {}
        self._checks = {type: self._checks_for(type) for type in CATALOGUE}

    @classmethod
    def resumed(cls, rules: RuleSet, state: bytes, context: ContextIndex | None = None) -> Detector:
        """The detector that goes on from `state`. Rules with another digest than there start afresh.

        Raises `ConfigurationError` when the state is of another version.
        """
        detector = cls(rules, context)
        version, *rest = msgspec.msgpack.decode(state)
        if version != _VERSION:
            raise ConfigurationError("the state of detection is of another version: rebuild it")
        detector._now, kept, explained = rest
        detector._explainer.unpack(explained)
        for each in detector._correlating:
            digest, packed = kept.get(each.rule.head.id, (None, None))
            if digest == each.rule.digest:
                each.unpack(packed)
                detector._due.extend(each.ends())
        heapq.heapify(detector._due)
        return detector

    def state(self) -> bytes:
        """All that the events so far leave behind. The context is not in it: its versions stand elsewhere."""
        kept = {each.rule.head.id: (each.rule.digest, each.packed()) for each in self._correlating}
        return msgspec.msgpack.encode((_VERSION, self._now, kept, self._explainer.packed()))

    def not_evaluable(self) -> dict[str, tuple[str, ...]]:
        """The rules that find nothing because tables of context are missing, with these tables."""
        return dict(self._missing)

    def explanations(self) -> list[Explained]:
        """How many accesses which rule has explained since the last time that this was asked."""
        return self._explainer.drain()

    def feed(self, events: Sequence[RecordedEvent]) -> list[Firing]:
        """Take the next events of the log; what the rules find, in the order in which it is known."""
        return [firing for _, firing in self.found(events)]

    def found(self, events: Sequence[RecordedEvent]) -> list[tuple[RecordedEvent, Firing]]:
        """The same, each with the event by which it is known."""
        found: list[tuple[RecordedEvent, Firing]] = []
        firings: list[Firing] = []
        checks_of = self._checks.get
        due = self._due
        last: datetime | None = None
        for recorded in events:
            at = recorded.recorded_at
            if at is not last:
                last = at
                now = moment(at)
                if now > self._now:
                    self._now = now
                    if due and due[0][0] < now:
                        self._settle(now, firings)
            checks = checks_of(recorded.event.type)
            if checks is None:  # a type that the catalogue does not have any more
                checks = self._checks_for(recorded.event.type)
            hits: tuple[_Hit, ...] = ()
            for test, rule, reports, feeds in checks.plain:
                if test is None or test(recorded):
                    hits += feeds
                    if reports:
                        firings.append(_single(rule, recorded, reasons(rule.expression, recorded)))
            if hits:
                self._correlate(recorded, hits, firings)
            if checks.in_context or checks.explained:
                self._see(recorded, checks, firings)
            if firings:
                found += [(recorded, firing) for firing in firings]
                firings.clear()
        return found

    def closing(self) -> list[Firing]:
        """What would be found if time went on without events: the last firings of a log that ends."""
        firings: list[Firing] = []
        while self._due:
            self._settle(self._due[0][0] + 1, firings)
        return firings

    def _checks_for(self, type: str) -> _Checks:
        plain: list[_Check] = []
        seeing: list[_SeeingCheck] = []
        access = may_be_access(type)
        for place, (rule, reports, feeds) in enumerate(self._event_rules):
            if rule.looks_up:
                if access or not rule.unexplained:
                    seeing += self._seeing(type, place, rule, reports, feeds)
                continue
            test = test_for_type(rule.expression, type)
            if test is not False:
                plain.append(_Check(None if test is True else test, rule, reports, feeds))
        explained = access and not self._explainer.is_empty
        return _Checks(
            tuple(plain),
            tuple(seeing),
            tuple(each for each in seeing if each.kept is None),
            self._verdicts_for(type, seeing, of_patient=True, explained=explained),
            self._verdicts_for(type, seeing, of_patient=False, explained=False),
            explained,
        )

    def _seeing(
        self, type: str, place: int, rule: EventRule, reports: bool, feeds: tuple[_Hit, ...]
    ) -> Iterator[_SeeingCheck]:
        parts = parts_in_context(rule.expression, type)
        if parts is None:
            return
        plain, rest = parts
        first: Test | None = test_of(plain)
        kept: Expression | None = None
        if can_be_kept(rest, of_patient=rule.by_patient) and (
            self._explanations_are_kept or not rule.unexplained
        ):
            kept = rest
            if can_be_kept(plain, of_patient=False):
                first, kept = None, And((plain, rest))
        yield _SeeingCheck(first, test_of(kept or rest), rule, place, kept, reports, feeds)

    def _verdicts_for(
        self, type: str, checks: Sequence[_SeeingCheck], *, of_patient: bool, explained: bool
    ) -> Verdicts | None:
        """The verdicts of rules that are kept. Types for which the rules ask the same share them."""
        kept = [each for each in checks if each.kept is not None and each.rule.by_patient is of_patient]
        explain = self._explainer if explained and self._explanations_are_kept else None
        if not kept and explain is None:
            return None
        asked = (
            tuple(explain.conditions(type)) if explain else None,
            tuple((each.place, each.kept) for each in kept),
        )
        found = self._verdicts.get(asked)
        if found is None:
            tests = [(each.place, each.rule.unexplained, each.test) for each in kept]
            found = self._verdicts[asked] = Verdicts(explain.explained_by if explain else None, tests)
        return found

    def _see(self, recorded: RecordedEvent, checks: _Checks, firings: list[Firing]) -> None:
        """Apply the rules that see an event in its context."""
        seen = Views(recorded, self._context)
        access = is_access(recorded)
        verdicts = seen.of_patients(checks.of_patient, access) if checks.of_patient else ()
        of_actor = seen.of_actor(checks.of_actor) if checks.of_actor else None
        explained_by: Sequence[str] | None = None
        if checks.explained and access:
            if self._explanations_are_kept:
                explained_by = [each.explained_by or "" for each in verdicts]
            else:
                explained_by = [self._explainer.explained_by(each) for each in seen.single]
            self._explainer.count(recorded, explained_by)
        matches = (of_actor is not None and of_actor.matching) or any(each.matching for each in verdicts)
        for check in checks.in_context if matches else checks.asked_each_time:
            rule = check.rule
            matching: list[Subject]
            if check.first is not None and not check.first(recorded):
                continue
            if check.kept is None:
                matching = self._asked(seen, check, access, explained_by)
            elif rule.by_patient:
                matching = [
                    seen.single[at] for at, each in enumerate(verdicts) if check.place in each.matching
                ]
            else:
                matching = [seen.whole] if of_actor and check.place in of_actor.matching else []
            if not matching:
                continue
            if check.reports:
                firings.append(_single(rule, recorded, self._why(rule, matching)))
            if check.feeds:
                self._correlate(_joined(matching), check.feeds, firings)

    def _asked(
        self, seen: Views, check: _SeeingCheck, access: bool, explained_by: Sequence[str] | None
    ) -> list[Subject]:
        """The views of an event that match a rule. No kept verdict is used."""
        rule = check.rule
        if rule.unexplained and not access:
            return []
        subjects = seen.single if rule.by_patient else [seen.whole]
        if rule.unexplained and explained_by is not None:
            subjects = [each for each, by in zip(subjects, explained_by, strict=True) if not by]
        return [each for each in subjects if check.test(each)]

    def _why(self, rule: EventRule, matching: Sequence[Subject]) -> tuple[str, ...]:
        why = reasons(rule.expression, matching[0])
        if rule.unexplained:
            why = (self._explainer.reason, *why)
        if len(matching) > 1:
            patients = ", ".join(each.event.patients[0].id for each in matching[:3])
            why += (f"this is so for {len(matching)} patients, such as {patients}",)
        return why

    def _settle(self, now: int, firings: list[Firing]) -> None:
        """Close, in order, what ends before `now`."""
        due = self._due
        while due and due[0][0] < now:
            at, order, what, key = heapq.heappop(due)
            self._correlating[order].settle(at, what, key, firings)

    def _correlate(self, recorded: RecordedEvent, hits: Sequence[_Hit], firings: list[Firing]) -> None:
        """Give an event to the correlations of the rules that it matches.

        A correlation comes after those that it counts. Of its members the last comes first, so that an event that
        matches two does not follow itself in `temporal_ordered`.
        """
        now, feeds, correlating = self._now, self._feeds, self._correlating
        left, index = sorted(hits), 0
        while index < len(left):
            order, from_end = left[index]
            index += 1
            if correlating[order].take(now, recorded, -from_end, firings) and feeds[order]:
                left, index = sorted({*left[index:], *feeds[order]}), 0
        if len(self._due) > self._compact_above:
            self._due[:] = [end for each in self._correlating for end in each.ends()]
            heapq.heapify(self._due)
            self._compact_above = 2 * len(self._due) + _SPARE_DUE


def _joined(subjects: Sequence[Subject]) -> Subject:
    """One event of all these patients."""
    first = subjects[0]
    if len(subjects) == 1:
        return first
    patients = tuple(patient for each in subjects for patient in each.event.patients)
    return replace(first, event=replace(first.event, patients=patients), found={})


def _single(rule: EventRule, recorded: RecordedEvent, why: tuple[str, ...]) -> Firing:
    head = rule.head
    return Firing(
        rule=head.id,
        version=rule.digest,
        title=head.title,
        level=head.level.value,
        opened_at=moment(recorded.recorded_at),
        begins=recorded.recorded_at,
        ends=recorded.recorded_at,
        count=1,
        positions=(recorded.position,),
        reasons=why,
    )
