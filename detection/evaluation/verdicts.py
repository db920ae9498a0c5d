"""What rules say of a person and a patient in the context, kept for as long as the rows that they looked up count.

The same persons open the same records again and again. A rule that asks of an event nothing but its type, its actor and
its patient says the same of each such event, until a row that it found begins or ends to count. So its verdict is kept
with this span of time. Verdicts are no part of the state: without them, the same is found.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from detection.evaluation.explaining import by_patient
from detection.evaluation.matching import Test
from detection.rules.expressions import Expression, items_of
from detection.rules.lookups import KeptContext, Subject, tables_mask
from domain.event import RecordedEvent

MAX_KEPT = 50_000
"""Verdicts of all rules; all are forgotten when there are more."""
_OF_ACTOR = frozenset({"type", "category", "actor.kind", "actor.id"})


class Verdict(NamedTuple):
    """It holds from `begins` until before `ends`. `matching`: the places of the rules that match, in their order.

    `explained_by`: the rule that explains the access, or empty; None when the event is no access. `asked`: the tables
    that were searched, see `tables_mask`.
    """

    begins: datetime
    ends: datetime
    explained_by: str | None
    matching: tuple[int, ...]
    asked: int


Key = tuple[str, str | None, str]
"""The kind of the actor, their id, and the id of the patient."""


def can_be_kept(expression: Expression, *, of_patient: bool = True) -> bool:
    """Whether it asks of an event nothing but its type, its actor and, if it sees one patient alone, the patient."""
    asked: set[str] = set()
    for item in items_of(expression):
        for field in (item.field, item.other):
            if field is not None:
                asked.update(field.sources or (field.name,))
    return asked <= (_OF_ACTOR | {"patients.id"} if of_patient else _OF_ACTOR)


class KeptVerdicts:
    """Room for the verdicts of all rules."""

    def __init__(self) -> None:
        self._parts: list[dict[Key, Verdict]] = []
        self._size = 0

    def part(self) -> dict[Key, Verdict]:
        """Room for those of some rules."""
        made: dict[Key, Verdict] = {}
        self._parts.append(made)
        return made

    def forget(self, tables: Collection[str]) -> None:
        """Forget the verdicts for which one of these tables was searched."""
        mask = tables_mask(tables)
        for part in self._parts:
            for key in [key for key, each in part.items() if each.asked & mask]:
                del part[key]
        self._size = sum(map(len, self._parts))

    def add(self, part: dict[Key, Verdict], key: Key, verdict: Verdict) -> None:
        """Keep one more."""
        if self._size >= MAX_KEPT:
            for each in self._parts:
                each.clear()
            self._size = 0
        part[key] = verdict
        self._size += 1


class Verdicts:
    """The verdicts of the same rules.

    `explain`: gives `Verdict.explained_by`; None when no rules explain. `tests`: of each rule its place, whether it
    sees only what is unexplained, and what it asks.
    """

    def __init__(
        self,
        explain: Callable[[Subject], str] | None,
        tests: Sequence[tuple[int, bool, Test]],
        room: KeptVerdicts,
    ) -> None:
        self._explain = explain
        self._tests = tests
        self._room = room
        self._kept = room.part()

    def kept(self, key: Key, at: datetime) -> Verdict | None:
        """The verdict that holds then, if it is here."""
        found = self._kept.get(key)
        return found if found is not None and found.begins <= at < found.ends else None

    def of(self, subject: Subject, key: Key, *, access: bool) -> Verdict:
        """The verdict of an event, of which nothing was looked up before."""
        explained = self._explain(subject) if access and self._explain is not None else None
        matching = tuple(
            place
            for place, unexplained, test in self._tests
            if not (unexplained and (explained or not access)) and test(subject)
        )
        span = subject.span
        found = Verdict(span.begins, span.ends, explained, matching, subject.asked)
        self._room.add(self._kept, key, found)
        return found


def kept_without_match(
    recorded: RecordedEvent, of_patient: Verdicts | None, of_actor: Verdicts | None
) -> list[str] | None:
    """What explains an event for each of its patients, when its verdicts are kept and no rule matches; else None."""
    event = recorded.event
    actor, at = event.actor, event.occurred_at
    explained = []
    if of_patient is not None:
        for patient in event.patients:
            found = of_patient.kept((actor.kind, actor.id, patient.id), at)
            if found is None or found.matching:
                return None
            explained.append(found.explained_by or "")
    if of_actor is not None:
        found = of_actor.kept((actor.kind, actor.id, ""), at)
        if found is None or found.matching:
            return None
    return explained


class Views:
    """An event as one of each of its patients alone, and as a whole: both are made when they are asked for."""

    __slots__ = ("_context", "_single", "_whole", "recorded")

    def __init__(self, recorded: RecordedEvent, context: KeptContext) -> None:
        self.recorded = recorded
        self._context = context
        self._single: list[Subject] | None = None
        self._whole: Subject | None = None

    @property
    def single(self) -> list[Subject]:
        """The event as one of each of its patients alone."""
        if self._single is None:
            self._single = by_patient(self.recorded, self._context)
        return self._single

    @property
    def whole(self) -> Subject:
        """The event with all of its patients."""
        if self._whole is None:
            self._whole = Subject.of(self.recorded, self._context)
        return self._whole

    def of_patients(self, verdicts: Verdicts, access: bool) -> list[Verdict]:
        """A verdict for each patient."""
        event = self.recorded.event
        actor, at = event.actor, event.occurred_at
        found = []
        for index, patient in enumerate(event.patients):
            key = (actor.kind, actor.id, patient.id)
            verdict = verdicts.kept(key, at)
            found.append(verdict or verdicts.of(self.single[index], key, access=access))
        return found

    def of_actor(self, verdicts: Verdicts) -> Verdict:
        """The verdict of rules that ask for no patient."""
        event = self.recorded.event
        key = (event.actor.kind, event.actor.id, "")
        return verdicts.kept(key, event.occurred_at) or verdicts.of(self.whole, key, access=False)

    def matching(self, place: int, verdicts: Sequence[Verdict] | Verdict | None) -> list[Subject]:
        """The views that match the rule of a place, by the verdict for each patient or that for the whole."""
        if isinstance(verdicts, Verdict):
            return [self.whole] if place in verdicts.matching else []
        return [self.single[at] for at, each in enumerate(verdicts or ()) if place in each.matching]
