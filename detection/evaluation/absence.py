"""What does not follow: no event of the counted rules within the timespan after one of the rule `after`.

The first event of `after` in a group opens a wait, and an event of a counted rule ends it. When the timespan has
passed, the wait is reported, with the events of `after` that came within it.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

from detection.evaluation.counting import Evidence
from detection.evaluation.firing import MAX_EVIDENCE, Firing, FiringKind
from detection.evaluation.grouping import MAX_KEYS, Grouping, Key
from detection.evaluation.moments import duration
from detection.evaluation.reporting import GROUP, NOTICE, Due, Report, Reporter
from detection.rules.conditions import Absence
from detection.rules.rule import CorrelationRule, Rule
from domain.event import RecordedEvent

MAX_WAITS = 50_000
"""Groups of one rule that wait."""


class _Wait:
    __slots__ = ("count", "evidence", "opened")

    def __init__(self, opened: int, evidence: Evidence | None = None, count: int = 0) -> None:
        self.opened = opened
        self.evidence: Evidence = evidence or []
        self.count = count


class Awaiting:
    """The state of one such correlation; see `Correlating` for the arguments."""

    def __init__(
        self, rule: CorrelationRule, order: int, members: Sequence[Rule], *, reports: bool, due: list[Due]
    ) -> None:
        assert isinstance(rule.extension, Absence)
        self.rule = rule
        self.order = order
        self._reports = reports
        self._due = due
        self._keys = Grouping(rule).keys
        self._reporter = Reporter(rule, order, due)
        self._after = rule.extension.after
        self._span = rule.timespan * 1_000_000
        self._waits: OrderedDict[Key, _Wait] = OrderedDict()
        awaited = "; ".join(each.head.title for n, each in enumerate(members) if n != self._after)
        self._reason = (
            f"within {duration(rule.timespan)} after: {members[self._after].head.title},"
            f" there was none of: {awaited}"
        )

    def take(self, now: int, recorded: RecordedEvent, member: int, firings: list[Firing]) -> bool:
        """Take an event that matches the member. Nothing is decided by it: never true."""
        if member != self._after and not self._waits:
            return False
        position = recorded.position
        keys = self._keys(recorded, member)
        if len(keys) > MAX_KEYS:
            keys = keys[:MAX_KEYS]
            reason = f"an event belongs to more than {MAX_KEYS} groups"
            self._reporter.notice(FiringKind.OVERFLOW, now, position, reason, firings)
        for key in keys:
            if member == self._after:
                self._open(now, position, key)
            else:
                self._waits.pop(key, None)
        while len(self._waits) > MAX_WAITS:
            self._waits.popitem(last=False)
            reason = f"more than {MAX_WAITS} groups wait"
            self._reporter.notice(FiringKind.OVERFLOW, now, position, reason, firings)
        return False

    def settle(self, due: int, what: int, key: Key, firings: list[Firing]) -> None:
        """Report the wait that ends at `due`, if it is still there."""
        if what == NOTICE:
            self._reporter.settle_notices(due, firings)
            return
        wait = self._waits.get(key)
        if wait is None or wait.opened + self._span != due:
            return
        del self._waits[key]
        if self._reports:
            report = Report(FiringKind.MATCH, wait.opened, wait.evidence, (self._reason,))
            report.count = wait.count
            firings.append(self._reporter.firing(report, key, final=True))

    def ends(self) -> Iterator[Due]:
        """Every wait that is open."""
        yield from self._reporter.ends()
        for key, wait in self._waits.items():
            yield (wait.opened + self._span, self.order, GROUP, key)

    def packed(self) -> Any:
        """The state as plain values."""
        waits = [[list(key), each.opened, each.evidence, each.count] for key, each in self._waits.items()]
        return [waits, self._reporter.packed()]

    def unpack(self, packed: Any) -> None:
        """Go on from the state of `packed`."""
        waits, notices = packed
        for key, opened, evidence, count in waits:
            self._waits[tuple(key)] = _Wait(opened, [(at, position) for at, position in evidence], count)
        self._reporter.unpack(notices)

    def _open(self, now: int, position: int, key: Key) -> None:
        wait = self._waits.get(key)
        if wait is None:
            wait = self._waits[key] = _Wait(now)
            heapq.heappush(self._due, (now + self._span, self.order, GROUP, key))
        wait.count += 1
        if len(wait.evidence) < MAX_EVIDENCE:
            wait.evidence.append((now, position))
