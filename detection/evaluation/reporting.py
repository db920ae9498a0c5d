"""What a correlation has reported: open windows whose count grows, and limits that it has met."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any

from detection.evaluation.counting import Evidence
from detection.evaluation.firing import MAX_EVIDENCE, Firing, FiringKind
from detection.evaluation.grouping import Key
from detection.evaluation.moments import as_datetime
from detection.rules.rule import CorrelationRule

Due = tuple[int, int, int, Key]
"""When a window has passed: the last moment of the log that is in it, the rule's order, what ends, and the group."""
WAITING, NOTICE, GROUP = 0, 1, 2
"""What ends, in the order in which it does at one moment: an event that waits may still count for the group."""


class Report:
    """What was reported of a group, while its window lasts."""

    __slots__ = ("begins", "count", "ends", "kind", "opened", "positions", "reasons", "told")

    def __init__(
        self,
        kind: FiringKind,
        opened: int,
        evidence: Evidence,
        reasons: tuple[str, ...],
        told: int = 0,
    ) -> None:
        self.kind = kind
        self.opened = opened
        self.begins = evidence[0][0]
        self.ends = evidence[-1][0]
        self.count = len(evidence)
        self.positions = [position for _, position in evidence[:MAX_EVIDENCE]]
        self.reasons = reasons
        self.told = told or self.count

    def add(self, at: int, position: int) -> None:
        """Another event of evidence."""
        self.count += 1
        self.ends = at
        if len(self.positions) < MAX_EVIDENCE and position not in self.positions[-1:]:
            self.positions.append(position)

    def packed(self) -> Any:
        """As plain values."""
        return [
            *(self.kind.value, self.opened, self.begins, self.ends, self.count),
            *(list(self.positions), list(self.reasons), self.told),
        ]

    @classmethod
    def unpacked(cls, packed: Any) -> Report:
        """The report of `packed`."""
        kind, opened, begins, ends, count, positions, reasons, told = packed
        report = cls(FiringKind(kind), opened, [(begins, 0)], tuple(reasons), told)
        report.ends, report.count, report.positions = ends, count, list(positions)
        return report


class Reporter:
    """Makes the firings of one correlation, and remembers which limits it has reported.

    `order`: the rule's place among the correlations. `due`: the detector's heap of windows that end.
    """

    def __init__(self, rule: CorrelationRule, order: int, due: list[Due]) -> None:
        self._rule = rule
        self._actor_at = rule.actor_at
        self._order = order
        self._due = due
        self._span = rule.timespan * 1_000_000
        self._notices: dict[FiringKind, Report] = {}

    def notice(self, kind: FiringKind, at: int, position: int, reason: str, firings: list[Firing]) -> None:
        """Report a limit that was met: once in each timespan, with its count at the end."""
        notice = self._notices.get(kind)
        if notice is not None and notice.opened + self._span >= at:
            notice.add(at, position)
            return
        if notice is not None:
            self.close(notice, (), firings)
        notice = self._notices[kind] = Report(kind, at, [(at, position)], (reason,))
        heapq.heappush(self._due, (at + self._span, self._order, NOTICE, ()))
        firings.append(self.firing(notice, (), final=False))

    def settle_notices(self, due: int, firings: list[Firing]) -> None:
        """Close the reports of limits whose timespan ends at `due`."""
        for kind in [kind for kind, each in self._notices.items() if each.opened + self._span == due]:
            self.close(self._notices.pop(kind), (), firings)

    def ends(self) -> Iterator[Due]:
        """The ends of the reports of limits."""
        for report in self._notices.values():
            yield (report.opened + self._span, self._order, NOTICE, ())

    def close(self, report: Report, key: Key, firings: list[Firing]) -> None:
        """Report the evidence that has come since the first report, if any."""
        if report.count > report.told:
            firings.append(self.firing(report, key, final=True, follows=True))

    def firing(self, report: Report, key: Key, *, final: bool, follows: bool = False) -> Firing:
        """The firing that a report is."""
        rule = self._rule
        return Firing(
            kind=report.kind,
            rule=rule.head.id,
            version=rule.digest,
            title=rule.head.title,
            level=rule.head.level.value,
            group=tuple(zip(rule.group_names, key, strict=True)) if key else (),
            actor=key[self._actor_at] if key and self._actor_at is not None else None,
            opened_at=report.opened,
            final=final,
            follows=follows,
            begins=as_datetime(report.begins),
            ends=as_datetime(report.ends),
            count=report.count,
            positions=tuple(report.positions),
            reasons=report.reasons,
        )

    def packed(self) -> Any:
        """The reports of limits as plain values."""
        return [each.packed() for each in self._notices.values()]

    def unpack(self, packed: Any) -> None:
        """Go on from `packed`."""
        for each in packed:
            notice = Report.unpacked(each)
            self._notices[notice.kind] = notice
