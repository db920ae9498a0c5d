"""A group that has fallen silent against its own rhythm, such as a service that stopped to report.

It may be silent for `factor` times its second-longest pause of the last days, at least for the timespan. Of each day
the longest pause counts, and of those the second longest, so that one outage does not become usual.

**The trail's own pauses do not count.** While no group at all is heard, no more than a quarter of the timespan passes
for the rule: when the trail or its network stands still, not all sources are silent at once. So the silence of the only
source is not found.

**A silence that was announced does not count.** The rule `announced_by` says that a group will be silent, as a service
that stops does. The group is judged again from its next event on, and that pause is none of its rhythm.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from detection.evaluation.firing import Firing, FiringKind
from detection.evaluation.grouping import Grouping, Key
from detection.evaluation.reporting import GROUP, NOTICE, Due, Report, Reporter
from detection.rules.conditions import Absence, Rhythm
from detection.rules.rule import CorrelationRule, Rule
from domain.event import RecordedEvent

MAX_SOURCES = 10_000
"""Groups of one rule that are remembered."""
_SECOND = 1_000_000
_DAY = 86400 * _SECOND


class _Group:
    """`first` and `last`: in the rule's own time, in which pauses of the trail do not count. `heard`: in the log's.

    `check`: when the group is looked at next; None when nothing but an event can change anything. `pauses`: the longest
    of each day. `announced`: the position of the event that announced its silence, while that lasts.
    """

    __slots__ = ("announced", "check", "first", "heard", "last", "pauses", "position", "stalled")

    def __init__(self, first: int, heard: int) -> None:
        self.first = self.last = first
        self.heard = heard
        self.position = 0
        self.check: int | None = None
        self.announced: int | None = None
        self.stalled = False
        self.pauses: list[list[int]] = []


class Silence:
    """The state of one such correlation; see `Correlating` for the arguments."""

    def __init__(
        self, rule: CorrelationRule, order: int, members: Sequence[Rule], *, reports: bool, due: list[Due]
    ) -> None:
        assert isinstance(rule.extension, Absence)
        assert rule.extension.rhythm is not None
        self.rule = rule
        self.order = order
        self._reports = reports
        self._due = due
        self._of = members[0].head.title
        self._keys = Grouping(rule).keys
        self._reporter = Reporter(rule, order, due)
        self._rhythm: Rhythm = rule.extension.rhythm
        self._announcing = rule.extension.announced_by
        self._learning = self._rhythm.learning * _SECOND
        self._span = rule.timespan * _SECOND
        self._most = self._span // 4
        self._groups: OrderedDict[Key, _Group] = OrderedDict()
        self._time = 0
        self._heard: int | None = None
        self._leaving: tuple[int, frozenset[Key]] = (-1, frozenset())
        self._stalled: list[Key] = []

    def take(self, now: int, recorded: RecordedEvent, member: int, firings: list[Firing]) -> bool:
        """Take an event. Nothing is decided by it: never true."""
        if self._heard is not None:
            self._time += min(now - self._heard, self._most)
        self._heard = now
        if self._stalled:
            self._resume(now)
        keys = self._keys(recorded, member)
        if member == self._announcing:
            # The same event is taken as one of the group afterwards: of several members, the last one comes first.
            self._leaving = (recorded.position, frozenset(keys))
            for key in keys:
                if key in self._groups:
                    self._announce(self._groups[key], recorded.position)
            return False
        for key in keys:
            self._beat(now, recorded.position, key)
        while len(self._groups) > MAX_SOURCES:
            self._groups.popitem(last=False)
            reason = f"more than {MAX_SOURCES} groups"
            self._reporter.notice(FiringKind.OVERFLOW, now, recorded.position, reason, firings)
        return False

    def settle(self, due: int, what: int, key: Key, firings: list[Firing]) -> None:
        """Look at a group whose time may have passed at `due`."""
        if what == NOTICE:
            self._reporter.settle_notices(due, firings)
            return
        group = self._groups.get(key)
        if group is None or group.check != due or self._heard is None:
            return
        time = self._time + min(due - self._heard, self._most)
        left = self._left(group, time)
        if left > 0:
            if due - self._heard >= self._most:
                group.check, group.stalled = None, True
                self._stalled.append(key)
            else:
                self._schedule(key, group, due + left)
            return
        group.check = None
        if self._reports:
            self._report(due, key, group, time, firings)

    def ends(self) -> Iterator[Due]:
        """Every group that is looked at again."""
        yield from self._reporter.ends()
        for key, group in self._groups.items():
            if group.check is not None:
                yield (group.check, self.order, GROUP, key)

    def packed(self) -> Any:
        """The state as plain values."""
        groups = [
            [
                *(list(key), each.first, each.last, each.heard, each.position, each.check, each.pauses),
                each.announced,
            ]
            for key, each in self._groups.items()
        ]
        stalled = [list(key) for key in self._stalled]
        return [self._time, self._heard, groups, stalled, self._reporter.packed()]

    def unpack(self, packed: Any) -> None:
        """Go on from the state of `packed`."""
        self._time, self._heard, groups, stalled, notices = packed
        for key, first, last, heard, position, check, pauses, announced in groups:
            group = self._groups[tuple(key)] = _Group(first, heard)
            group.last, group.position, group.check = last, position, check
            group.pauses = [list(each) for each in pauses]
            group.announced = announced
        self._stalled = [tuple(key) for key in stalled]
        for each in self._stalled:
            if each in self._groups:
                self._groups[each].stalled = True
        self._reporter.unpack(notices)

    def _beat(self, now: int, position: int, key: Key) -> None:
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(self._time, now)
            if self._leaving[0] == position and key in self._leaving[1]:
                self._announce(group, position)
            else:
                self._schedule(key, group, now + self._span)
        else:
            self._groups.move_to_end(key)
            if group.announced is None or group.announced == position:
                self._learn(group, self._time - group.last, now // _DAY)
            else:
                group.announced = None
            if group.check is None and not group.stalled and group.announced is None:
                self._schedule(key, group, now + self._span)
        group.last, group.heard, group.position = self._time, now, position

    def _learn(self, group: _Group, pause: int, day: int) -> None:
        if group.pauses and group.pauses[-1][0] == day:
            group.pauses[-1][1] = max(group.pauses[-1][1], pause)
            return
        group.pauses.append([day, pause])
        while group.pauses[0][0] <= day - self._rhythm.days:
            del group.pauses[0]

    def _announce(self, group: _Group, position: int) -> None:
        if group.announced is not None:
            group.last = self._time  # what was announced before is no pause either
        group.announced = position
        group.check, group.stalled = None, False

    def _patience(self, group: _Group) -> int:
        longest = sorted((pause for _, pause in group.pauses), reverse=True)[:2]
        return max(self._span, int(self._rhythm.factor * longest[-1]) if longest else 0)

    def _left(self, group: _Group, time: int) -> int:
        """How much longer the group may be silent."""
        silence = group.last + self._patience(group) - time
        return max(silence, group.first + self._learning - time)

    def _schedule(self, key: Key, group: _Group, at: int) -> None:
        group.check = at
        heapq.heappush(self._due, (at, self.order, GROUP, key))

    def _resume(self, now: int) -> None:
        """The trail goes on: look at the groups again that stood still with it."""
        stalled, self._stalled = self._stalled, []
        for key in stalled:
            group = self._groups.get(key)
            if group is not None and group.stalled:
                group.stalled = False
                self._schedule(key, group, now + max(self._left(group, self._time), 1))

    def _report(self, due: int, key: Key, group: _Group, time: int, firings: list[Firing]) -> None:
        reason = (
            f"no event for {_words(time - group.last)}, of: {self._of}; from its second-longest pause in"
            f" {self._rhythm.days} days follow {_words(self._patience(group))} without, at most"
        )
        report = Report(FiringKind.MATCH, due, [(group.heard, group.position)], (reason,))
        report.ends = due
        firings.append(self._reporter.firing(report, key, final=True))


def _words(microseconds: int) -> timedelta:
    return timedelta(seconds=microseconds // _SECOND)
