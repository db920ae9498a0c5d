"""The detector: rules over events in the order of the log, with a state that can be saved between any two events."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from detection.evaluation.correlating import Correlating, Due
from detection.evaluation.firing import Firing
from detection.evaluation.matching import Test, reasons, test_for_type
from detection.evaluation.moments import moment
from detection.rules.rule import CorrelationRule, EventRule, RuleSet
from domain.catalogue import CATALOGUE
from domain.errors import ConfigurationError
from domain.event import RecordedEvent

_VERSION = 1
_SPARE_DUE = 10_000
"""Ends of windows that may be left over from groups that were forgotten, before they are removed."""


class _Check(NamedTuple):
    """A rule for events of one type. `test` is None when the type alone decides. `feeds`: correlation and member."""

    test: Test | None
    rule: EventRule
    reports: bool
    feeds: tuple[tuple[int, int], ...]


class Detector:
    """Evaluates rules over the log: the same events and rules give the same firings, however the log is cut.

    One look-up by the type of an event finds the rules that it can match.
    """

    def __init__(self, rules: RuleSet) -> None:
        self._rules = rules
        self._due: list[Due] = []
        self._compact_above = _SPARE_DUE
        reported = {rule.head.id for rule in rules.reported}
        correlations = [rule for rule in rules if isinstance(rule, CorrelationRule)]
        self._correlating = [
            Correlating(
                rule,
                order,
                [rules[id] for id in rule.members],
                reports=rule.head.id in reported,
                due=self._due,
            )
            for order, rule in enumerate(correlations)
        ]
        feeds: dict[str, list[tuple[int, int]]] = {}
        for order, correlation in enumerate(correlations):
            for member, id in enumerate(correlation.members):
                feeds.setdefault(id, []).append((order, member))
        self._feeds = [tuple(feeds.get(rule.head.id, ())) for rule in correlations]
        self._event_rules = [
            (rule, rule.head.id in reported, tuple(feeds.get(rule.head.id, ())))
            for rule in rules
            if isinstance(rule, EventRule)
        ]
        self._checks = {type: self._checks_for(type) for type in CATALOGUE}
        self._now = 0

    @classmethod
    def resumed(cls, rules: RuleSet, state: bytes) -> Detector:
        """The detector that goes on from `state`. Rules with another digest than there start afresh.

        Raises `ConfigurationError` when the state is of another version.
        """
        detector = cls(rules)
        version, detector._now, kept = msgspec.msgpack.decode(state)
        if version != _VERSION:
            raise ConfigurationError("the state of detection is of another version: rebuild it")
        for each in detector._correlating:
            digest, packed = kept.get(each.rule.head.id, (None, None))
            if digest == each.rule.digest:
                each.unpack(packed)
                detector._due.extend(each.ends())
        heapq.heapify(detector._due)
        return detector

    def state(self) -> bytes:
        """All that the events so far leave behind."""
        kept = {each.rule.head.id: (each.rule.digest, each.packed()) for each in self._correlating}
        return msgspec.msgpack.encode((_VERSION, self._now, kept))

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
            hits: tuple[tuple[int, int], ...] = ()
            for test, rule, reports, feeds in checks:
                if test is None or test(recorded):
                    hits += feeds
                    if reports:
                        firings.append(_single(rule, recorded))
            if hits:
                self._correlate(recorded, hits, firings)
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

    def _checks_for(self, type: str) -> tuple[_Check, ...]:
        found = []
        for rule, reports, feeds in self._event_rules:
            test = test_for_type(rule.expression, type)
            if test is not False:
                found.append(_Check(None if test is True else test, rule, reports, feeds))
        return tuple(found)

    def _settle(self, now: int, firings: list[Firing]) -> None:
        """Close, in order, what ends before `now`."""
        due = self._due
        while due and due[0][0] < now:
            at, order, what, key = heapq.heappop(due)
            self._correlating[order].settle(at, what, key, firings)

    def _correlate(
        self, recorded: RecordedEvent, hits: Sequence[tuple[int, int]], firings: list[Firing]
    ) -> None:
        """Give an event to the correlations of the rules that it matches.

        A correlation comes after those that it counts. Of its members the last comes first, so that an event that
        matches two does not follow itself in `temporal_ordered`.
        """
        now, feeds = self._now, self._feeds
        left = hits if len(hits) == 1 else sorted(hits, key=_order)
        while left:
            (order, member), *left = left
            if self._correlating[order].take(now, recorded, member, firings) and feeds[order]:
                left = sorted({*left, *feeds[order]}, key=_order)
        if len(self._due) > self._compact_above:
            self._due[:] = [end for each in self._correlating for end in each.ends()]
            heapq.heapify(self._due)
            self._compact_above = 2 * len(self._due) + _SPARE_DUE


def _order(hit: tuple[int, int]) -> tuple[int, int]:
    return (hit[0], -hit[1])


def _single(rule: EventRule, recorded: RecordedEvent) -> Firing:
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
        reasons=reasons(rule.expression, recorded),
    )
