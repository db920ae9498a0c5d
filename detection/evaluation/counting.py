"""What a correlation remembers of one group, for each kind of condition, and when the condition holds.

All memories are bounded, and exact within the bound: of a count that must reach n, the last n events decide; of
distinct values, the last n of them, each with its latest event; of several rules, the latest event of each; of rules
in order, for each the chain that began latest. Times are in microseconds, and never go back.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from typing import Any, Protocol

from detection.rules.rule import CorrelationRule, Kind

Evidence = list[tuple[int, int]]
"""Times and positions."""
_MAX_FIRST = 100
"""Positions of a group whose count is decided when its window has passed."""


class Memory(Protocol):
    """What is remembered of one group."""

    def add(self, at: int, position: int, member: int, values: Iterable[str]) -> bool:
        """Take an event of the member; whether the condition now holds."""

    def evidence(self) -> Evidence:
        """The events with which the condition holds, after `add` has said that it does."""

    def packed(self) -> Any:
        """It as plain lists, from which `unpacked` makes it again."""


class LastEvents:
    """`event_count` that must reach a number."""

    def __init__(self, rule: CorrelationRule, packed: Any = ()) -> None:
        self._needed = rule.condition.least
        self._span = rule.timespan * 1_000_000
        self._events: deque[tuple[int, int]] = deque(map(tuple, packed), maxlen=self._needed)

    def add(self, at: int, position: int, member: int, values: Iterable[str]) -> bool:  # noqa: ARG002
        """See `Memory`."""
        events = self._events
        events.append((at, position))
        return len(events) == self._needed and events[0][0] >= at - self._span

    def evidence(self) -> Evidence:
        """See `Memory`."""
        return list(self._events)

    def packed(self) -> Any:
        """See `Memory`."""
        return list(self._events)


class LastValues:
    """`value_count` that must reach a number."""

    def __init__(self, rule: CorrelationRule, packed: Any = ()) -> None:
        self._needed = rule.condition.least
        self._span = rule.timespan * 1_000_000
        self._values = OrderedDict((value, (at, position)) for value, at, position in packed)

    def add(self, at: int, position: int, member: int, values: Iterable[str]) -> bool:  # noqa: ARG002
        """See `Memory`."""
        known, link = self._values, (at, position)
        for value in values:
            known[value] = link
            known.move_to_end(value)
        if len(known) < self._needed:
            return False
        while len(known) > self._needed:
            known.popitem(last=False)
        return bool(known[next(iter(known))][0] >= at - self._span)

    def evidence(self) -> Evidence:
        """See `Memory`."""
        return sorted(set(self._values.values()))

    def packed(self) -> Any:
        """See `Memory`."""
        return [(value, *seen) for value, seen in self._values.items()]


class LatestOfEach:
    """`temporal`: events of so many members."""

    def __init__(self, rule: CorrelationRule, packed: Any = ()) -> None:
        self._needed = rule.condition.least
        self._span = rule.timespan * 1_000_000
        self._latest: list[tuple[int, int] | None] = [tuple(each) if each else None for each in packed] or [
            None
        ] * len(rule.members)

    def add(self, at: int, position: int, member: int, values: Iterable[str]) -> bool:  # noqa: ARG002
        """See `Memory`."""
        self._latest[member] = (at, position)
        return len(self._within(at)) >= self._needed

    def evidence(self) -> Evidence:
        """See `Memory`."""
        return sorted(set(self._within(max(each[0] for each in self._latest if each is not None))))

    def _within(self, at: int) -> Evidence:
        return [each for each in self._latest if each is not None and each[0] >= at - self._span]

    def packed(self) -> Any:
        """See `Memory`."""
        return self._latest


class LatestChains:
    """`temporal_ordered`: for each member, the chain of events up to it that began latest."""

    def __init__(self, rule: CorrelationRule, packed: Any = ()) -> None:
        self._span = rule.timespan * 1_000_000
        self._chains: list[list[tuple[int, int]]] = [list(map(tuple, each)) for each in packed] or [
            [] for _ in rule.members
        ]

    def add(self, at: int, position: int, member: int, values: Iterable[str]) -> bool:  # noqa: ARG002
        """See `Memory`. One event is one link of a chain: it does not follow itself."""
        chains = self._chains
        link = (at, position)
        if member == 0:
            chains[0] = [link]
            return False
        before = chains[member - 1]
        if not before or before[-1][1] == position or before[0][0] < at - self._span:
            return False
        chains[member] = [*before, link]
        return member == len(chains) - 1

    def evidence(self) -> Evidence:
        """See `Memory`."""
        return self._chains[-1]

    def packed(self) -> Any:
        """See `Memory`."""
        return self._chains


class WholeWindow:
    """A count that must stay below a number, or be one: it is decided when the window has passed.

    `distinct`: values are counted, else events. No more is counted than decides the condition.
    """

    def __init__(self, rule: CorrelationRule, packed: Any = None) -> None:
        condition = rule.condition
        self._distinct = rule.kind is Kind.VALUE_COUNT
        self._enough = max(condition.least, condition.most or 0, condition.other or 0) + 1
        count, values, first = packed or (0, (), [])
        self._first: Evidence = [(at, position) for at, position in first]
        self._count: int = count
        self._values = dict.fromkeys(values)

    @property
    def count(self) -> int:
        """The events, or the distinct values, up to one more than the condition needs to know."""
        return len(self._values) if self._distinct else self._count

    @property
    def events(self) -> int:
        """All events of the window."""
        return self._count

    def evidence(self) -> Evidence:
        """See `Memory`: the first events."""
        return self._first

    def add(self, at: int, position: int, member: int, values: Iterable[str]) -> bool:  # noqa: ARG002
        """See `Memory`. The condition never holds before the end of the window."""
        self._count += 1
        if len(self._first) < _MAX_FIRST:
            self._first.append((at, position))
        if self._distinct:
            for value in values:
                if len(self._values) < self._enough:
                    self._values[value] = None
        return False

    def packed(self) -> Any:
        """See `Memory`."""
        return [self._count, list(self._values), self._first]


def memory_for(
    rule: CorrelationRule,
) -> type[LastEvents | LastValues | LatestOfEach | LatestChains | WholeWindow]:
    """The kind of memory that a rule needs."""
    if not rule.condition.open_ended:
        return WholeWindow
    return {
        Kind.EVENT_COUNT: LastEvents,
        Kind.VALUE_COUNT: LastValues,
        Kind.TEMPORAL: LatestOfEach,
        Kind.TEMPORAL_ORDERED: LatestChains,
    }[rule.kind]  # type: ignore[return-value]
