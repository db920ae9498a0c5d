"""Numbers that are missing: a source numbers its events, and some do not come within the timespan after a higher one.

Of each group, the numbers below `next` are decided. Those above it that came are kept as ranges; below each range some
numbers are missing. Numbers of a group that is new to the rule count from its first one.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any

from detection.evaluation.counting import Evidence
from detection.evaluation.firing import Firing, FiringKind
from detection.evaluation.grouping import Grouping, Key
from detection.evaluation.moments import duration
from detection.evaluation.reporting import GROUP, NOTICE, Due, Report, Reporter
from detection.rules.conditions import Numbering
from detection.rules.rule import CorrelationRule, Rule
from domain.event import RecordedEvent

MAX_GROUPS = 50_000
MAX_RANGES = 1000
"""Ranges of one group that wait for numbers below them; with more, what is missing longest is reported early."""


class _Range:
    """Numbers `first` to `last` have come. `since`, `position`: of the first event with such a number, or a higher one.

    So the times of a group's ranges grow with their numbers.
    """

    __slots__ = ("first", "last", "position", "since")

    def __init__(self, first: int, last: int, since: int, position: int) -> None:
        self.first = first
        self.last = last
        self.since = since
        self.position = position


class _Group:
    __slots__ = ("next", "ranges")

    def __init__(self, following: int) -> None:
        self.next = following
        self.ranges: list[_Range] = []


class Numbers:
    """The state of one such correlation; see `Correlating` for the arguments."""

    def __init__(
        self, rule: CorrelationRule, order: int, members: Sequence[Rule], *, reports: bool, due: list[Due]
    ) -> None:
        assert isinstance(rule.extension, Numbering)
        del members
        self.rule = rule
        self.order = order
        self._reports = reports
        self._due = due
        self._keys = Grouping(rule).keys
        self._reporter = Reporter(rule, order, due)
        self._field = rule.extension.field
        self._span = rule.timespan * 1_000_000
        self._groups: OrderedDict[Key, _Group] = OrderedDict()

    def take(self, now: int, recorded: RecordedEvent, member: int, firings: list[Firing]) -> bool:
        """Take an event. Nothing is decided by it: never true."""
        one = self._field.one
        if one is not None:
            number = one(recorded)
        else:
            number = next((each for each in self._field.read(recorded) if type(each) is int), None)
        if type(number) is not int:
            return False
        for key in self._keys(recorded, member):
            group = self._groups.get(key)
            if group is None:
                self._groups[key] = _Group(number + 1)
                continue
            self._groups.move_to_end(key)
            if number == group.next and not group.ranges:
                group.next += 1
            elif number >= group.next:
                self._add(now, recorded.position, key, group, number)
                if len(group.ranges) > MAX_RANGES:
                    self._decide(key, group, group.ranges[0].since, firings)
        while len(self._groups) > MAX_GROUPS:
            self._groups.popitem(last=False)
            reason = f"more than {MAX_GROUPS} groups"
            self._reporter.notice(FiringKind.OVERFLOW, now, recorded.position, reason, firings)
        return False

    def settle(self, due: int, what: int, key: Key, firings: list[Firing]) -> None:
        """Report the numbers that have not come by `due`."""
        if what == NOTICE:
            self._reporter.settle_notices(due, firings)
            return
        group = self._groups.get(key)
        if group is not None:
            self._decide(key, group, due - self._span, firings)

    def ends(self) -> Iterator[Due]:
        """The time of every range that waits."""
        yield from self._reporter.ends()
        for key, group in self._groups.items():
            for each in group.ranges:
                yield (each.since + self._span, self.order, GROUP, key)

    def packed(self) -> Any:
        """The state as plain values."""
        groups = [
            [
                *(list(key), group.next),
                [[each.first, each.last, each.since, each.position] for each in group.ranges],
            ]
            for key, group in self._groups.items()
        ]
        return [groups, self._reporter.packed()]

    def unpack(self, packed: Any) -> None:
        """Go on from the state of `packed`."""
        groups, notices = packed
        for key, following, ranges in groups:
            group = self._groups[tuple(key)] = _Group(following)
            group.ranges = [_Range(*each) for each in ranges]
        self._reporter.unpack(notices)

    def _add(self, now: int, position: int, key: Key, group: _Group, number: int) -> None:
        """Note that a number has come. What is missing below it was missed since a higher one came."""
        ranges = group.ranges
        index = bisect_right(ranges, number, key=attrgetter("first"))
        if index and ranges[index - 1].last >= number:
            return
        above = ranges[index] if index < len(ranges) else None
        if index and ranges[index - 1].last + 1 == number:
            index -= 1
            ranges[index].last = number
        elif above is not None:
            ranges.insert(index, _Range(number, number, above.since, above.position))
        else:
            ranges.append(_Range(number, number, now, position))
            heapq.heappush(self._due, (now + self._span, self.order, GROUP, key))
        if above is not None and above.first == number + 1:
            ranges[index].last = above.last
            del ranges[index + 1]
        if ranges[0].first == group.next:
            group.next = ranges.pop(0).last + 1

    def _decide(self, key: Key, group: _Group, until: int, firings: list[Firing]) -> None:
        """What is missing below the ranges that began up to `until` does not come any more."""
        missing: list[tuple[int, int]] = []
        evidence: Evidence = []
        while group.ranges and group.ranges[0].since <= until:
            found = group.ranges.pop(0)
            missing.append((group.next, found.first - 1))
            evidence.append((found.since, found.position))
            group.next = found.last + 1
        if not missing or not self._reports:
            return
        many = sum(last - first + 1 for first, last in missing)
        shown = ", ".join(
            str(first) if first == last else f"{first} to {last}" for first, last in missing[:10]
        )
        reason = (
            f"{many} of {self._field.name} missing: {shown}{', ...' if len(missing) > 10 else ''}; higher ones came,"
            f" and these not within {duration(self.rule.timespan)}"
        )
        report = Report(FiringKind.MATCH, evidence[0][0], sorted(set(evidence)), (reason,))
        firings.append(self._reporter.firing(report, key, final=True))
