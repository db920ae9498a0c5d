"""The detector: rules over events in the order of the log, with a state that can be saved between any two events."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from datetime import datetime

import msgspec
from msgspec.structs import replace

from detection.context.index import ContextIndex
from detection.evaluation.checks import CheckedType, CheckMaker, Checks, Fed, Hit, SeeingCheck
from detection.evaluation.evaluability import missing_tables
from detection.evaluation.explaining import Explained, Explainer, is_access
from detection.evaluation.firing import Firing
from detection.evaluation.matching import reasons
from detection.evaluation.moments import moment
from detection.evaluation.reporting import WAITING, Due
from detection.evaluation.states import state_of
from detection.evaluation.verdicts import Views, kept_without_match
from detection.rules.lookups import KeptContext, Subject
from detection.rules.rule import CorrelationRule, EventRule, RuleSet
from domain.catalogue import CATALOGUE
from domain.errors import ConfigurationError
from domain.event import RecordedEvent

_VERSION = 3
_SPARE_DUE = 10_000
"""Ends of windows that may be left over from groups that were forgotten, before they are removed."""


class Detector:
    """Evaluates rules over the log: the same events, rules and context give the same firings, however the log is cut.

    Two look-ups, by the type of an event and by its values of fields with few, find the rules that it can match.
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
        self._takes = [each.take for each in self._correlating]
        self._reported = reported
        self._context = KeptContext(ContextIndex())
        self._explainer = Explainer((), self._context)
        self._types: dict[str, CheckedType] = {}
        self._maker = CheckMaker((), (), self._explainer)
        self.use(context or ContextIndex())

    def use(self, context: ContextIndex) -> None:
        """From the next event on, this is the context. Windows stay as they are."""
        changed = context.changed(self._context.index)
        if changed is not None and self._types:
            self._context.use(context, changed)
            self._maker.kept.forget(changed)
            self._explainer.forget()
            return
        counted = self._explainer.packed()
        self._context = KeptContext(context)
        self._missing = missing_tables(self._rules, context)
        self._explainer = Explainer(self._rules.explaining, self._context)
        self._explainer.unpack(counted)
        feeds: dict[str, list[Hit]] = {}
        for each in self._correlating:
            if each.rule.head.id not in self._missing:
                for member, id in enumerate(each.rule.members):
                    feeds.setdefault(id, []).append((each.order, -member))
        self._feeds = [tuple(feeds.get(each.rule.head.id, ())) for each in self._correlating]
        rules = [
            Fed(rule, rule.head.id in self._reported, tuple(sorted(feeds.get(rule.head.id, ()))))
            for rule in self._rules
            if isinstance(rule, EventRule) and not rule.explains and rule.head.id not in self._missing
        ]
        self._maker = CheckMaker(rules, self._rules.explaining, self._explainer)
        self._types = {}

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
        types = self._types.get
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
            of_type = types(recorded.event.type) or self._of_type(recorded.event.type)
            checks = of_type.made.get(of_type.read(recorded)) or of_type.checks(recorded)
            matched = 0
            for bit, test, rule, reports, _ in checks.plain:
                if test is None or test(recorded):
                    matched |= bit
                    if reports:
                        firings.append(_single(rule, recorded, reasons(rule.expression, recorded)))
            hits = checks.hits[matched]
            if hits:
                self._correlate(recorded, hits, firings)
            if checks.looks_up:
                self._see(recorded, checks, firings)
            if firings:
                found += [(recorded, firing) for firing in firings]
                firings.clear()
        return found

    def closing(self, by: datetime | None = None) -> list[Firing]:
        """The last firings of a log that ends: what is found when time goes on without events, forever or to `by`.

        What is open at `by` is not found; but of what was found before, the count so far is reported.
        """
        firings: list[Firing] = []
        due = self._due
        if by is not None:
            self._settle(max(moment(by), self._now), firings)
            due[:] = [end for end in due if end[2] != WAITING]
            heapq.heapify(due)
        so_far: list[Firing] = []
        while due:
            self._settle(due[0][0] + 1, so_far)
        firings += so_far if by is None else [each for each in so_far if each.follows]
        return firings

    def _of_type(self, type: str) -> CheckedType:
        """The checks for events of a type. They are not kept for one that the catalogue does not have any more."""
        made = self._maker.of_type(type)
        if type in CATALOGUE:
            self._types[type] = made
        return made

    def _see(self, recorded: RecordedEvent, checks: Checks, firings: list[Firing]) -> None:
        """Apply the rules that see an event in its context."""
        access = is_access(recorded)
        if checks.all_kept:
            quiet = kept_without_match(recorded, checks.of_patient, checks.of_actor)
            if quiet is not None:
                if checks.explained and access:
                    self._explainer.count(recorded, quiet)
                return
        seen = Views(recorded, self._context)
        verdicts = seen.of_patients(checks.of_patient, access) if checks.of_patient else ()
        of_actor = seen.of_actor(checks.of_actor) if checks.of_actor else None
        explained_by: Sequence[str] | None = None
        if checks.explained and access:
            if self._maker.explanations_are_kept:
                explained_by = [each.explained_by or "" for each in verdicts]
            else:
                explained_by = [self._explainer.explained_by(each) for each in seen.single]
            self._explainer.count(recorded, explained_by)
        matches = (of_actor is not None and of_actor.matching) or any(each.matching for each in verdicts)
        for check in checks.in_context if matches else checks.asked_each_time:
            if check.first is not None and not check.first(recorded):
                continue
            if check.kept is None:
                matching = self._asked(seen, check, access, explained_by)
            else:
                matching = seen.matching(check.place, verdicts if check.rule.by_patient else of_actor)
            if matching and check.reports:
                firings.append(_single(check.rule, recorded, self._why(check.rule, matching)))
            if matching and check.feeds:
                self._correlate(_joined(matching), check.feeds, firings)

    def _asked(
        self, seen: Views, check: SeeingCheck, access: bool, explained_by: Sequence[str] | None
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

    def _correlate(self, recorded: RecordedEvent, hits: Sequence[Hit], firings: list[Firing]) -> None:
        """Give an event to the correlations of the rules that it matches; `hits` are sorted.

        A correlation comes after those that it counts. Of its members the last comes first, so that an event that
        matches two does not follow itself in `temporal_ordered`.
        """
        now, feeds, takes = self._now, self._feeds, self._takes
        left = hits
        while left:
            for index, (order, from_end) in enumerate(left, 1):
                if takes[order](now, recorded, -from_end, firings) and feeds[order]:
                    left = sorted({*left[index:], *feeds[order]})
                    break
            else:
                break
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
