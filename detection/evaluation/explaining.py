"""Explanations of accesses: which rule says why a person may have seen a patient, and how many accesses have one.

An access is an event of the category `data` by a person, who is no patient, for each of its patients. The first rule
that explains it, in the order of the rule set, is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from detection.evaluation.matching import Test, specialised, test_of
from detection.rules.event_fields import category_of, event_field
from detection.rules.expressions import Expression
from detection.rules.lookups import KeptContext, Lookup, Subject
from detection.rules.rule import EventRule
from domain.catalogue import Category
from domain.event import PERSONS, ActorKind, RecordedEvent

_STAFF = PERSONS - {ActorKind.PATIENT}

_MAX_ACTORS = 50_000
"""Actors whose departments are kept; all are forgotten when there are more."""
_ACTOR = Lookup(
    name="actor",
    key="staff id actor.id",
    table="staff",
    where=(("id", event_field("actor.id")),),
    when=None,
    of_patient=False,
)
"""The key is that of the same look-up in a rule file."""


class Explained(Struct, frozen=True, order=True):
    """How many accesses of a day one rule explains; `rule` is empty for those that no rule explains.

    `department`: the first one of the actor, or empty. `day`: of the recording, in UTC. An access is one event and
    patient.
    """

    day: date
    department: str
    rule: str
    accesses: int


def may_be_access(type: str) -> bool:
    """Whether events of this type are accesses, if a person acts and a patient is named."""
    return category_of(type) is Category.DATA


def is_access(recorded: RecordedEvent) -> bool:
    """The same for an event of such a type."""
    return recorded.event.actor.kind in _STAFF and bool(recorded.event.patients)


def by_patient(recorded: RecordedEvent, context: KeptContext) -> list[Subject]:
    """The event as one of each of its patients alone."""
    patients = recorded.event.patients
    if len(patients) == 1:
        return [Subject.of(recorded, context)]
    return [
        Subject.of(replace(recorded, event=replace(recorded.event, patients=(patient,))), context)
        for patient in patients
    ]


class Explainer:
    """The rules that explain accesses, as far as their tables are there, and what they have counted."""

    def __init__(self, rules: Sequence[EventRule], context: KeptContext) -> None:
        self._rules = [rule for rule in rules if all(map(context.index.has, rule.needs))]
        self._by_type: dict[str, list[tuple[str, Test]]] = {}
        self._departments: dict[str, str] = {}
        self._context = context
        self._counts: Counter[tuple[date, str, str]] = Counter()
        self._at: datetime | None = None
        self._day = date.min
        self.left_out = len(rules) - len(self._rules)
        self.reason = f"none of {len(self._rules)} rules explains the access"
        if self.left_out:
            missing = sorted({each for rule in rules for each in rule.needs if not context.index.has(each)})
            self.reason += f"; {self.left_out} more could not be evaluated, without {', '.join(missing)}"

    @property
    def is_empty(self) -> bool:
        """Whether it explains nothing."""
        return not self._rules

    def unexplained(self, recorded: RecordedEvent, subjects: Sequence[Subject]) -> list[Subject]:
        """Of an access, seen for each patient alone, the ones that no rule explains. All are counted."""
        found = [self.explained_by(subject) for subject in subjects]
        self.count(recorded, found)
        return [subject for subject, rule in zip(subjects, found, strict=True) if not rule]

    def explained_by(self, subject: Subject) -> str:
        """The id of the first rule that explains the access of one patient, or nothing."""
        type = subject.event.type
        tests = self._by_type.get(type)
        if tests is None:
            tests = self._by_type[type] = [
                (id, test_of(condition)) for id, condition in self.conditions(type)
            ]
        return next((rule for rule, test in tests if test(subject)), "")

    def count(self, recorded: RecordedEvent, explained_by: Iterable[str]) -> None:
        """Count the accesses of an event, each with the rule that explains it."""
        at = recorded.recorded_at
        if at is not self._at:
            self._at, self._day = at, at.date()
        department = self._department(recorded.event.actor.id)
        for rule in explained_by:
            self._counts[self._day, department, rule] += 1

    def conditions(self, type: str) -> list[tuple[str, Expression | bool]]:
        """The rules, and what is left of their conditions for events of this type."""
        found = [(rule.head.id, specialised(rule.expression, type)) for rule in self._rules]
        return [each for each in found if each[1] is not False]

    def forget(self) -> None:
        """Forget what the table of staff says."""
        self._departments.clear()

    def drain(self) -> list[Explained]:
        """What was counted since the last time."""
        found = sorted(Explained(*key, number) for key, number in self._counts.items())
        self._counts.clear()
        return found

    def packed(self) -> Any:
        """What was counted, as plain values."""
        return [[day.isoformat(), *rest, number] for (day, *rest), number in sorted(self._counts.items())]

    def unpack(self, packed: Iterable[Any]) -> None:
        """Go on counting."""
        for day, department, rule, number in packed:
            self._counts[date.fromisoformat(day), department, rule] += number

    def _department(self, actor: str | None) -> str:
        if not actor:
            return ""
        found = self._departments.get(actor)
        if found is None:
            rows = self._context.search(_ACTOR, (actor,)).rows
            found = next((department for row in rows for department in row.departments), "")
            if len(self._departments) >= _MAX_ACTORS:
                self._departments.clear()
            self._departments[actor] = found
        return found
