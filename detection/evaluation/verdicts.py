"""What rules say of a person and a patient in the context, kept for as long as the rows that they looked up count.

The same persons open the same records again and again. A rule that asks of an event nothing but its type, its actor and
its patient says the same of each such event, until a row that it found begins or ends to count. So its verdict is kept
with this span of time. Verdicts are no part of the state: without them, the same is found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from detection.evaluation.explaining import by_patient
from detection.evaluation.matching import Test
from detection.rules.expressions import Expression, items_of
from detection.rules.lookups import KeptContext, Subject
from domain.event import RecordedEvent

MAX_KEPT = 50_000
"""Verdicts; all are forgotten when there are more."""
_OF_ACTOR = frozenset({"type", "category", "actor.kind", "actor.id"})


class Verdict(NamedTuple):
    """It holds from `begins` until before `ends`. `matching`: the places of the rules that match, in their order.

    `explained_by`: the rule that explains the access, or empty; None when the event is no access.
    """

    begins: datetime
    ends: datetime
    explained_by: str | None
    matching: tuple[int, ...]


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


class Verdicts:
    """The verdicts of the same rules.

    `explain`: gives `Verdict.explained_by`; None when no rules explain. `tests`: of each rule its place, whether it
    sees only what is unexplained, and what it asks.
    """

    def __init__(
        self,
        explain: Callable[[Subject], str] | None,
        tests: Sequence[tuple[int, bool, Test]],
    ) -> None:
        self._explain = explain
        self._tests = tests
        self._kept: dict[Key, Verdict] = {}

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
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        span = subject.span
        found = self._kept[key] = Verdict(span.begins, span.ends, explained, matching)
        return found


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
