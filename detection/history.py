"""Rules over what the log already has: a dry run, which changes nothing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from msgspec import Struct, field

from detection.context.storage import load_index, newest_versions
from detection.evaluation.detector import Detector
from detection.evaluation.firing import Firing, FiringKind
from detection.rules.rule import CorrelationRule, EventRule, Rule, RuleSet
from domain.event import RecordedEvent
from event_store.database import Connection, Database
from event_store.event_reader import events_at, log_size, read_events

PAGE = 2000
"""Positions of one read, each a transaction of its own."""
TOP_GROUPS = 10
"""Groups of one rule that are shown: those with most findings."""
_SHOWN = {"staff"}
"""Tables that are read besides those of the rules: the departments of the accesses that are counted."""
_MAX_GROUPS = 100_000
"""Groups of one rule that are counted apart."""


class RuleOutcome(Struct):
    """What one rule found. `events`: those of its evidence. `groups`: findings by group, up to a bound."""

    rule: str
    title: str
    level: str
    firings: int = 0
    events: int = 0
    limits: int = 0
    groups: Counter[tuple[tuple[str, str], ...]] = field(default_factory=Counter)
    patient_columns: frozenset[str] = frozenset()

    def top(self) -> list[tuple[tuple[tuple[str, str], ...], int]]:
        """The groups that are shown, with their findings."""
        return [(group, count) for group, count in self.groups.most_common(TOP_GROUPS) if group]

    def patients(self) -> Iterator[str]:
        """The patients that these groups name."""
        for group, _ in self.top():
            yield from (value for name, value in group if name in self.patient_columns)


class Outcome(Struct):
    """A dry run over the positions `first` to `last`. `firings`: the first ones, `left_out` counts the others.

    `not_evaluable`: the rules that lack tables of context, with these. `explained`: accesses by the id of the rule that
    explains them, or by an empty text.
    """

    rules: list[RuleOutcome]
    first: int
    last: int
    events: int
    seconds: float
    firings: list[Firing]
    left_out: int
    not_evaluable: dict[str, tuple[str, ...]]
    explained: Counter[str]

    def disclosed(self, database: Database) -> tuple[int, list[str]]:
        """The events that the shown firings name, and the patients of these events and of the shown groups."""
        positions = sorted({position for firing in self.firings for position in firing.positions})
        with database.transaction(read_only=True) as connection:
            events = events_at(connection, positions)
        of_events = (patient.id for recorded in events for patient in recorded.event.patients)
        of_groups = (patient for each in self.rules for patient in each.patients())
        return len(events), list(dict.fromkeys([*of_events, *of_groups]))


def replay(
    database: Database,
    rules: RuleSet,
    since: datetime,
    until: datetime | None,
    most: int,
    progress: Callable[[int, int], None],
) -> Outcome:
    """Evaluate rules over the events recorded from `since` on and before `until`, in today's context.

    Windows begin empty. An absence whose time has not passed by then is none.
    `most` firings are kept in full. `progress` gets the positions done, and all.
    """
    with database.transaction(read_only=True) as connection:
        needed = {table for rule in rules if isinstance(rule, EventRule) for table in rule.needs}
        versions = newest_versions(connection)
        known = {table: version for table, version in versions.items() if table in needed | _SHOWN}
        detector = Detector(rules, load_index(connection, known))
    found = {
        rule.head.id: RuleOutcome(
            rule=rule.head.id,
            title=rule.head.title,
            level=rule.head.level.value,
            patient_columns=_patient_columns(rule),
        )
        for rule in rules.reported
    }
    passed = min(until, datetime.now(UTC)) if until else datetime.now(UTC)
    with database.transaction(read_only=True) as connection:
        first = position_at(connection, since)
        end = position_at(connection, until) if until else log_size(connection)
    collected = _Collected(found, most)
    explained: Counter[str] = Counter()
    began, events = time.monotonic(), 0
    for batch in _pages(database, first, end, progress):
        events += len(batch)
        collected.add(detector.feed(batch))
        for each in detector.explanations():
            explained[each.rule] += each.accesses
    collected.add(detector.closing(passed))
    return Outcome(
        rules=list(found.values()),
        first=first,
        last=end - 1,
        events=events,
        seconds=time.monotonic() - began,
        firings=list(collected.shown.values()),
        left_out=collected.left_out,
        not_evaluable=detector.not_evaluable(),
        explained=explained,
    )


def position_at(connection: Connection, at: datetime) -> int:
    """The first position that was recorded at that time or later; the size of the log when none was.

    Times of the log grow with its positions, so that a few reads find it.
    """
    low, high = 0, log_size(connection)
    while low < high:
        middle = (low + high) // 2
        after = middle - 1
        found: RecordedEvent | None = None
        # Events of aggregates have no time here: the next event stands for them.
        while found is None and after < high - 1:
            batch = read_events(connection, after, 1)
            after, found = batch.last, batch.events[0] if batch.events else None
        if found is not None and found.recorded_at < at:
            low = found.position + 1
        else:
            high = middle
    return low


def _patient_columns(rule: Rule) -> frozenset[str]:
    """The columns of a correlation's groups that hold patients, also by an alias."""
    if not isinstance(rule, CorrelationRule):
        return frozenset()
    return frozenset(
        name
        for fields in rule.group_by
        for name, field in zip(rule.group_names, fields, strict=True)
        if field.name == "patients.id"
    )


class _Collected:
    """Firings by rule. A final firing replaces what its window has reported before."""

    def __init__(self, found: dict[str, RuleOutcome], most: int) -> None:
        self._found = found
        self._most = most
        self.shown: dict[tuple[str, str, tuple[tuple[str, str], ...], int, int], Firing] = {}
        self.left_out = 0
        self._open: Counter[tuple[str, tuple[tuple[str, str], ...], int]] = Counter()

    def add(self, firings: Sequence[Firing]) -> None:
        """Count these."""
        for firing in firings:
            outcome = self._found.get(firing.rule)
            if outcome is None:
                continue
            window = (firing.rule, firing.group, firing.opened_at)
            counted = self._open.pop(window, 0) if firing.kind is FiringKind.MATCH else 0
            if firing.kind is not FiringKind.MATCH:
                outcome.limits += not firing.final
            else:
                outcome.events += firing.count - counted
                if not counted:
                    outcome.firings += 1
                    if firing.group in outcome.groups or len(outcome.groups) < _MAX_GROUPS:
                        outcome.groups[firing.group] += 1
                if not firing.final:
                    self._open[window] = firing.count
            self._show(firing, again=bool(counted))

    def _show(self, firing: Firing, *, again: bool) -> None:
        position = firing.positions[0]
        key = (firing.kind.value, firing.rule, firing.group, firing.opened_at, position)
        if key in self.shown or len(self.shown) < self._most:
            self.shown[key] = firing
        elif not again:
            self.left_out += 1


def _pages(
    database: Database, first: int, end: int, progress: Callable[[int, int], None]
) -> Iterator[list[RecordedEvent]]:
    after = first - 1
    while after < end - 1:
        with database.transaction(read_only=True) as connection:
            batch = read_events(connection, after, min(PAGE, end - 1 - after))
        if batch.last == after:
            return
        after = batch.last
        progress(after + 1 - first, end - first)
        yield batch.events
