"""What a correlation remembers of a group for weeks: its usual counts, the values that it had, when it was last seen.

All of it is bounded: see `MAX_VALUES` and `MAX_KNOWN`. Times are in microseconds, and never go back.
"""

from __future__ import annotations

import math
from array import array
from collections import OrderedDict
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

from detection.evaluation.counting import Evidence, LastValues, memory_for
from detection.evaluation.matching import shown
from detection.rules.conditions import Baseline, NewValues, Return
from detection.rules.rule import CorrelationRule

MAX_VALUES = 1000
"""Events or values of one group that a baseline counts: a group that usually has more is not judged."""
MAX_KNOWN = 256
"""Values of one group that are remembered. A group that has so many is not judged: it always has new ones."""
MIN_PAST = 20
"""Timespans with events that a group must have had before its baseline counts."""
_SECOND = 1_000_000
_DAY = 86400 * _SECOND
_SLOTS_LIKE_A_VALUE = 64
"""Past timespans (two bytes each) that take the memory of one value in a window."""
_NEVER: Final = MAX_VALUES + 1


class AboveBaseline:
    """A count above the group's own past, and above a floor.

    The log's time is divided into whole timespans. Of each in which the group has events, the highest count of its
    sliding window is kept. The percentile of those of the last `days` is the usual; today's timespan does not count.
    """

    def __init__(self, rule: CorrelationRule, packed: Any = None) -> None:
        assert isinstance(rule.extension, Baseline)
        self._baseline = rule.extension
        self._floor = rule.condition.least
        self._counted = rule.counted.name if rule.counted else None
        self._span = rule.timespan * _SECOND
        first, slot, highest, past, days, window = packed or (None, 0, 0, b"", (), ())
        self._first: int | None = first
        self._slot: int = slot
        self._highest: int = highest
        self._past: array[int] = array("H", past)
        self._days: list[list[int]] = [list(each) for each in days]
        self._window: OrderedDict[str | int, tuple[int, int]] = OrderedDict(
            (value, (at, position)) for value, at, position in window
        )
        self._threshold = self._needed()

    @property
    def size(self) -> int:
        """What it takes of the rule's memory."""
        return 1 + len(self._window) + len(self._past) // _SLOTS_LIKE_A_VALUE

    def add(self, at: int, position: int, member: int, values: Iterable[str]) -> bool:  # noqa: ARG002
        """See `Memory`."""
        slot = at // self._span
        if slot != self._slot:
            self._turn(at, slot)
        window, link = self._window, (at, position)
        if self._counted is None:
            window[position] = link
        else:
            for value in values:
                window[value] = link
                window.move_to_end(value)
        oldest = at - self._span
        while len(window) > MAX_VALUES or next(iter(window.values()))[0] < oldest:
            window.popitem(last=False)
        count = len(window)
        self._highest = max(self._highest, count)
        return count >= self._threshold

    def evidence(self) -> Evidence:
        """See `Memory`."""
        return sorted(set(self._window.values()))

    def because(self, of: str) -> str:
        """The finding in words."""
        what = "events" if self._counted is None else f"values of {self._counted}"
        baseline = self._baseline
        return (
            f"{len(self._window)} {what}{of}; usual are at most {self._usual()}: percentile {baseline.percentile:g} of"
            f" {len(self._past)} such times with events in {baseline.days} days"
        )

    def packed(self) -> Any:
        """See `Memory`."""
        window = [(value, *seen) for value, seen in self._window.items()]
        return [self._first, self._slot, self._highest, self._past.tobytes(), self._days, window]

    def _turn(self, at: int, slot: int) -> None:
        """Another timespan begins: the last one becomes past, and what is too old is forgotten."""
        if self._first is None:
            self._first = at
        else:
            day = self._slot * self._span // _DAY
            if not self._days or self._days[-1][0] != day:
                self._days.append([day, 0])
            self._days[-1][1] += 1
            self._past.append(self._highest)
        self._slot, self._highest = slot, 0
        oldest = slot * self._span // _DAY - self._baseline.days
        while self._days and self._days[0][0] < oldest:
            del self._past[: self._days.pop(0)[1]]
        self._threshold = self._needed()

    def _needed(self) -> int:
        known = 0 if self._first is None else self._slot * self._span - self._first
        if len(self._past) < MIN_PAST or known < self._baseline.learning * _SECOND:
            return _NEVER
        above: int = math.floor(self._usual() * self._baseline.factor) + 1
        return max(self._floor, above)

    def _usual(self) -> int:
        rank = math.ceil(self._baseline.percentile / 100 * len(self._past))
        return sorted(self._past)[max(rank, 1) - 1]


class Unfamiliar:
    """Values that the group has not had for a long time; how many of them decide, as for all values."""

    def __init__(self, rule: CorrelationRule, packed: Any = None) -> None:
        assert isinstance(rule.extension, NewValues)
        self._counted = rule.counted.name if rule.counted else ""
        self._memory = rule.extension.memory * _SECOND
        self._learning = rule.extension.learning * _SECOND
        first, known, inner = packed or (None, (), ())
        self._first: int | None = first
        self._known: OrderedDict[str, int] = OrderedDict(known)
        self._new = LastValues(rule, inner)

    @property
    def size(self) -> int:
        """What it takes of the rule's memory."""
        return 1 + len(self._known)

    def add(self, at: int, position: int, member: int, values: Iterable[str]) -> bool:
        """See `Memory`."""
        known, oldest = self._known, at - self._memory
        while known and next(iter(known.values())) < oldest:
            known.popitem(last=False)
        if self._first is None or not known:
            self._first = at
        judged = at - self._first >= self._learning and len(known) < MAX_KNOWN
        new = [value for value in values if value not in known] if judged else []
        for value in values:
            known[value] = at
            known.move_to_end(value)
        while len(known) > MAX_KNOWN:
            known.popitem(last=False)
        return bool(new) and self._new.add(at, position, member, new)

    def evidence(self) -> Evidence:
        """See `Memory`."""
        return self._new.evidence()

    def because(self, of: str) -> str:
        """The finding in words."""
        values = [shown(value) for value, *_ in self._new.packed()]
        before = len(self._known) - len(values)
        return f"new values of {self._counted}: {', '.join(values[:3])}, beside {before} known ones,{of}"

    def packed(self) -> Any:
        """See `Memory`."""
        return [self._first, list(self._known.items()), self._new.packed()]


class Returning:
    """An event after a long time without."""

    size = 1

    def __init__(self, rule: CorrelationRule, packed: Any = None) -> None:
        assert isinstance(rule.extension, Return)
        self._silence = rule.extension.silence * _SECOND
        self._memory = rule.extension.memory * _SECOND
        last, silent, position = packed or (None, 0, 0)
        self._last: int | None = last
        self._silent: int = silent
        self._position: int = position

    def add(self, at: int, position: int, member: int, values: Iterable[str]) -> bool:  # noqa: ARG002
        """See `Memory`."""
        silent = 0 if self._last is None else at - self._last
        self._last = at
        if not self._silence <= silent <= self._memory:
            return False
        self._silent, self._position = silent, position
        return True

    def evidence(self) -> Evidence:
        """See `Memory`."""
        return [(self._last or 0, self._position)]

    def because(self, of: str) -> str:
        """The finding in words."""
        return f"the first event after {timedelta(microseconds=self._silent).days} days{of}"

    def packed(self) -> Any:
        """See `Memory`."""
        return [self._last, self._silent, self._position]


LongMemory = AboveBaseline | Unfamiliar | Returning


def kept_for(rule: CorrelationRule) -> int:
    """For how many seconds a group without events is remembered."""
    match rule.extension:
        case Baseline(days=days):
            return days * 86400
        case NewValues(memory=memory) | Return(memory=memory):
            return memory
    return rule.timespan


def memory_of(rule: CorrelationRule) -> Any:
    """The class that remembers what a rule needs of one group."""
    match rule.extension:
        case Baseline():
            return AboveBaseline
        case NewValues():
            return Unfamiliar
        case Return():
            return Returning
    return memory_for(rule)
