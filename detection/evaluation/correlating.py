"""One correlation over the log: its groups, the windows of what it has reported, and the bounds of both.

**Time.** `recorded_at`, which never goes back (one that does counts as the latest before). With ``time: occurred_at``
an event waits until the log is `lateness` ahead of it, and is then taken in the order of the source's clocks; what
comes later than that is not counted, and reported as `late`. A source's clock that is ahead counts as `recorded_at`.

**Window.** Sliding: at an event, all events of the group count that are at most `timespan` older. What must reach a
number is reported at the event with which it does. The report's own window lasts for the timespan from there: events
at which the condition holds again raise its count, and the first one after it is a new report. A condition with an
upper bound (`lt`, `lte`, `eq`, `neq`) is decided for the window from a group's first event to its end, and the
group's next event begins another.

**Bound.** A rule remembers `MAX_REMEMBERED` events over all groups, at most `MAX_GROUPS` groups, and
`MAX_WAITING` events that wait. At the bound the group that was unseen for the longest time is forgotten, or the oldest
waiting event is taken early: the rule reports that as `overflow`, once in each timespan with its count.

**Long memory.** A rule that asks against a group's own past keeps its groups for as long; see `long_memory`.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

from detection.evaluation.counting import WholeWindow
from detection.evaluation.firing import Firing, FiringKind
from detection.evaluation.grouping import MAX_KEYS, Grouping, Key, key_text
from detection.evaluation.long_memory import LongMemory, kept_for, memory_of
from detection.evaluation.matching import reasons, shown
from detection.evaluation.moments import duration, moment
from detection.evaluation.reporting import GROUP, NOTICE, WAITING, Due, Report, Reporter
from detection.rules.event_fields import Read, Scalar
from detection.rules.rule import CorrelationRule, EventRule, Kind, Rule
from domain.event import RecordedEvent

MAX_GROUPS = 50_000
MAX_REMEMBERED = 500_000
MAX_WAITING = 50_000


class _Group:
    __slots__ = ("memory", "opened", "report", "seen")

    def __init__(self, memory: Any, opened: int) -> None:
        self.memory = memory
        self.opened = opened
        self.seen = opened
        self.report: Report | None = None


class Correlating:
    """The state of one correlation. `members`: its rules. `due`: the detector's heap of windows that end.

    `reports`: it reports what it finds, and does not only feed others.
    """

    def __init__(
        self, rule: CorrelationRule, order: int, members: Sequence[Rule], *, reports: bool, due: list[Due]
    ) -> None:
        self.rule = rule
        self.order = order
        self._members = members
        self._lateness = (rule.lateness or 0) * 1_000_000
        self._by_source = rule.lateness is not None
        self._span = rule.timespan * 1_000_000
        self._memory = memory_of(rule)
        self._kept = kept_for(rule) * 1_000_000
        self._long = issubclass(self._memory, LongMemory)
        self._held = 0
        self._whole = self._memory is WholeWindow
        self._reports = reports
        self._due = due
        grouping = Grouping(rule)
        self._keys = grouping.keys
        self._ones = grouping.ones if not (self._by_source or self._whole) else [None] * len(members)
        self._reporter = Reporter(rule, order, due)
        self._counted: Read | None = rule.counted.read if rule.counted else None
        counts = rule.kind in {Kind.EVENT_COUNT, Kind.VALUE_COUNT} and not self._long
        needed = max(rule.condition.least, 1) if counts else 1
        self._most_groups = max(1, min(MAX_GROUPS, MAX_REMEMBERED // needed))
        self._groups: OrderedDict[Key, _Group] = OrderedDict()
        self._waiting: list[tuple[int, int, int, list[Key], list[str]]] = []
        self._latest = 0
        self._now = 0
        self._next_release: int | None = None
        self._newest: tuple[RecordedEvent, int] | None = None

    def take(self, now: int, recorded: RecordedEvent, member: int, firings: list[Firing]) -> bool:
        """Take an event that matches the member; whether the condition now holds for one of its groups."""
        self._now = now
        one = self._ones[member]
        if one is not None and (key := one(recorded)) is not None:
            group = self._groups.get(key)
            if group is not None and group.report is None:
                return self._add(now, recorded, member, key, group, firings)
        keys = self._keys(recorded, member)
        if not keys:
            return False
        if len(keys) > MAX_KEYS:
            keys = keys[:MAX_KEYS]
            reason = f"an event belongs to more than {MAX_KEYS} groups"
            self._notice(FiringKind.OVERFLOW, recorded.position, reason, firings)
        values: Sequence[str] = ()
        if self._counted is not None:
            values = _texts(self._counted(recorded))
            if not values:
                return False
        if not self._by_source:
            self._newest = (recorded, member)
            held = self._count(now, recorded.position, member, keys, values, firings)
            self._newest = None
            return held
        occurred = min(moment(recorded.event.occurred_at), now)
        if occurred < now - self._lateness:
            self._notice(FiringKind.LATE, recorded.position, "an event came later than the lateness", firings)
            return False
        heapq.heappush(self._waiting, (occurred, recorded.position, member, list(keys), list(values)))
        if len(self._waiting) > MAX_WAITING:
            self._notice(
                FiringKind.OVERFLOW, recorded.position, f"more than {MAX_WAITING} events waited", firings
            )
            self._release_one(firings)
        self._schedule_release()
        return False

    def _add(
        self,
        now: int,
        recorded: RecordedEvent,
        member: int,
        key: Key,
        group: _Group,
        firings: list[Firing],
    ) -> bool:
        """The same for the one group of an event, of which nothing is reported: most events are such."""
        values: Sequence[str] = ()
        if self._counted is not None:
            values = _texts(self._counted(recorded))
            if not values:
                return False
        self._groups.move_to_end(key)
        self._latest = group.seen = now
        memory = group.memory
        before = memory.size if self._long else 0
        held: bool = memory.add(now, recorded.position, member, values)
        if held and self._reports:
            self._newest = (recorded, member)
            self._report(now, recorded.position, key, group, firings)
            self._newest = None
        if self._long:
            self._held += memory.size - before
            while self._held > MAX_REMEMBERED:
                self._forget_one(recorded.position, firings)
        return held

    def settle(self, due: int, what: int, key: Key, firings: list[Firing]) -> None:
        """Close the window that ends at `due`, if it is still open."""
        self._now = due
        if what == WAITING:
            if due == self._next_release:
                while self._waiting and self._waiting[0][0] + self._lateness <= due:
                    self._release_one(firings)
                self._next_release = None
                self._schedule_release()
        elif what == NOTICE:
            self._reporter.settle_notices(due, firings)
        else:
            group = self._groups.get(key)
            if group is not None and self._ends_at(group) + self._lateness == due:
                self._end(key, group, firings)

    def ends(self) -> Iterator[Due]:
        """Every window that is open."""
        if self._waiting:
            yield (self._waiting[0][0] + self._lateness, self.order, WAITING, ())
        yield from self._reporter.ends()
        for key, group in self._groups.items():
            if self._whole or group.report is not None:
                yield (self._ends_at(group) + self._lateness, self.order, GROUP, key)

    def _schedule_release(self) -> None:
        """Have the first waiting event taken in time."""
        if self._waiting:
            due = self._waiting[0][0] + self._lateness
            if self._next_release is None or due < self._next_release:
                self._next_release = due
                heapq.heappush(self._due, (due, self.order, WAITING, ()))

    def packed(self) -> Any:
        """The state as plain values."""
        return [
            self._latest,
            [
                [
                    list(key),
                    each.opened,
                    each.seen,
                    each.memory.packed(),
                    each.report and each.report.packed(),
                ]
                for key, each in self._groups.items()
            ],
            self._reporter.packed(),
            [[*each[:3], [list(key) for key in each[3]], each[4]] for each in sorted(self._waiting)],
        ]

    def unpack(self, packed: Any) -> None:
        """Go on from the state of `packed`."""
        self._latest, groups, notices, waiting = packed
        for key, opened, seen, memory, report in groups:
            group = self._groups[tuple(key)] = self._new_group(opened, memory)
            group.seen = seen
            group.report = Report.unpacked(report) if report else None
        self._reporter.unpack(notices)
        self._waiting = [
            (at, position, member, [tuple(key) for key in keys], values)
            for at, position, member, keys, values in waiting
        ]
        self._next_release = self._waiting[0][0] + self._lateness if self._waiting else None

    def _ends_at(self, group: _Group) -> int:
        opened = group.opened if group.report is None else group.report.opened
        return opened + self._span

    def _release_one(self, firings: list[Firing]) -> None:
        at, position, member, keys, values = heapq.heappop(self._waiting)
        self._count(max(at, self._latest), position, member, keys, values, firings)

    def _count(
        self,
        at: int,
        position: int,
        member: int,
        keys: Sequence[Key],
        values: Sequence[str],
        firings: list[Firing],
    ) -> bool:
        self._latest = at
        groups = self._groups
        held = False
        for key in keys:
            group = groups.get(key)
            if group is not None:
                groups.move_to_end(key)
                if (self._whole or group.report is not None) and self._ends_at(group) < at:
                    self._end(key, group, firings)
                    group = groups.get(key)
            if group is None:
                self._forget_old(at)
                group = groups[key] = self._new_group(at)
                if self._whole:
                    heapq.heappush(self._due, (at + self._span + self._lateness, self.order, GROUP, key))
            group.seen = at
            if self._long:
                self._held -= group.memory.size
            if group.memory.add(at, position, member, values):
                held = True
                if self._reports:
                    self._report(at, position, key, group, firings)
            if self._long:
                self._held += group.memory.size
        while len(groups) > self._most_groups or self._held > MAX_REMEMBERED:
            self._forget_one(position, firings)
        return held

    def _report(self, at: int, position: int, key: Key, group: _Group, firings: list[Firing]) -> None:
        if group.report is not None:
            group.report.add(at, position)
            return
        evidence = group.memory.evidence()
        group.report = Report(
            FiringKind.MATCH, at, evidence, self._reasons(len(evidence), group) + self._of_newest()
        )
        heapq.heappush(self._due, (at + self._span + self._lateness, self.order, GROUP, key))
        firings.append(self._reporter.firing(group.report, key, final=False))

    def _end(self, key: Key, group: _Group, firings: list[Firing]) -> None:
        """The window of a group has passed."""
        memory = group.memory
        if not self._whole:
            if group.report is not None:
                self._reporter.close(group.report, key, firings)
                group.report = None
            return
        self._groups.pop(key, None)
        if self.rule.condition.holds(memory.count) and self._reports:
            report = Report(
                FiringKind.MATCH, group.opened, memory.evidence(), self._reasons(memory.count, group)
            )
            report.count, report.ends = memory.events, group.seen
            firings.append(self._reporter.firing(report, key, final=True))

    def _forget_old(self, at: int) -> None:
        """Groups that no window reaches any more. The first ones are unseen for the longest time."""
        groups, before = self._groups, at - self._kept
        while groups:
            key, group = next(iter(groups.items()))
            if group.seen >= before or group.report is not None or self._whole:
                return
            self._remove(key)

    def _new_group(self, at: int, packed: Any = None) -> _Group:
        memory = self._memory(self.rule) if packed is None else self._memory(self.rule, packed)
        if self._long:
            self._held += memory.size
        return _Group(memory, at)

    def _remove(self, key: Key) -> _Group:
        group = self._groups.pop(key)
        if self._long:
            self._held -= group.memory.size
        return group

    def _forget_one(self, position: int, firings: list[Firing]) -> None:
        key = next(iter(self._groups))
        group = self._remove(key)
        if group.report is not None:
            self._reporter.close(group.report, key, firings)
        reason = f"more than {self._most_groups} groups within {self._kept // 1_000_000} s"
        if self._long:
            reason = f"more than {self._most_groups} groups, or {MAX_REMEMBERED} remembered values"
        self._notice(FiringKind.OVERFLOW, position, reason, firings)

    def _notice(self, kind: FiringKind, position: int, reason: str, firings: list[Firing]) -> None:
        self._reporter.notice(kind, self._now, position, reason, firings)

    def _reasons(self, count: int, group: _Group) -> tuple[str, ...]:
        """The finding in words: how many of what, and of which rules."""
        rule = self.rule
        of = (
            " within "
            + duration(rule.timespan)
            + ", of: "
            + "; ".join(each.head.title for each in self._members)
        )
        if self._long:
            return (group.memory.because(of),)
        if rule.kind is Kind.VALUE_COUNT and rule.counted is not None:
            packed = group.memory.packed()
            values = packed[1] if self._whole else [each[0] for each in packed]
            count = count if self._whole else len(values)
            return (
                f"{count} values of {rule.counted.name}, such as {', '.join(map(shown, values[:3]))},{of}",
            )
        if rule.kind is Kind.EVENT_COUNT:
            return (f"{count} {'event' if count == 1 else 'events'}{of}",)
        ordered = " in this order" if rule.kind is Kind.TEMPORAL_ORDERED else ""
        return (f"events of {count} rules{ordered}{of}",)

    def _of_newest(self) -> tuple[str, ...]:
        """Why the event that completes the evidence matches. By the source's clock, it is not there any more."""
        if self._newest is None:
            return ()
        recorded, member = self._newest
        rule = self._members[member]
        return reasons(rule.expression, recorded) if isinstance(rule, EventRule) else ()


def _texts(values: Sequence[Scalar]) -> Sequence[str]:
    if len(values) == 1:
        [value] = values
        if type(value) is str:
            return (key_text(value),)
    return [key_text(value) for value in values if value is not None]
