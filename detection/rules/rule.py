"""Rules as frozen values, and sets of rules whose references are resolved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from hashlib import sha256

from msgspec import Struct

from detection.context.index import ContextIndex
from detection.rules.conditions import Absence, Extension, Numbering
from detection.rules.event_fields import EventField
from detection.rules.expressions import Expression
from detection.rules.lookups import Lookup
from domain.alert_level import Level
from domain.errors import ConfigurationError
from domain.event import RecordedEvent

MAX_CHAIN = 5
"""Correlations of correlations."""


class Head(Struct, frozen=True, kw_only=True):
    """What a rule says about itself. `file` and `line`: where its document begins."""

    title: str
    id: str
    name: str | None = None
    status: str | None = None
    description: str = ""
    author: str | None = None
    date: str | None = None
    modified: str | None = None
    license: str | None = None
    references: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    level: Level = Level.MEDIUM
    falsepositives: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    file: str
    line: int


class TestCases(Struct, frozen=True):
    """The test events of a rule: lists of events, each a log of its own, and the context in which they are seen."""

    fires: tuple[tuple[RecordedEvent, ...], ...] = ()
    silent: tuple[tuple[RecordedEvent, ...], ...] = ()
    context: ContextIndex = ContextIndex()


class Rule(Struct, frozen=True, kw_only=True):
    """One document of a rule file. `digest`: the SHA-256 (hex) of its text, and of the rules that it refers to."""

    head: Head
    digest: str
    tests: TestCases = TestCases()


class EventRule(Rule, frozen=True, kw_only=True):
    """A rule that one event matches.

    `needs`: the tables of context without which it can't be evaluated. `by_patient`: it is evaluated for each patient
    of an event alone. `explains`: it does not report, but explains accesses. `unexplained`: it sees only accesses that
    no rule explains.
    """

    expression: Expression
    lookups: tuple[Lookup, ...] = ()
    needs: frozenset[str] = frozenset()
    by_patient: bool = False
    explains: bool = False
    unexplained: bool = False

    @property
    def looks_up(self) -> bool:
        """Whether it sees events in their context."""
        return bool(self.needs) or self.by_patient or self.explains or self.unexplained


class Kind(StrEnum):
    """The types of correlations (Sigma 2.1)."""

    EVENT_COUNT = "event_count"
    VALUE_COUNT = "value_count"
    TEMPORAL = "temporal"
    TEMPORAL_ORDERED = "temporal_ordered"


class Range(Struct, frozen=True):
    """The counts that satisfy a condition: from `least` to `most`, without `other`.

    Without `most` and `other`, it is decided as soon as `least` is reached; else when the window has passed.
    """

    least: int = 0
    most: int | None = None
    other: int | None = None

    @property
    def open_ended(self) -> bool:
        """Whether more never makes it false again."""
        return self.most is None and self.other is None

    def holds(self, count: int) -> bool:
        """Whether a count satisfies it."""
        return self.least <= count and (self.most is None or count <= self.most) and count != self.other


class CorrelationRule(Rule, frozen=True, kw_only=True):
    """A rule that several events match together; times are in seconds.

    `members`: ids of the rules that it counts. `group_by`: for each member the fields that must agree.
    `lateness`: None for the time of the log, else how late an event may be by its source's clock. `extension`: a
    condition that Sigma does not have.
    """

    kind: Kind
    members: tuple[str, ...]
    group_names: tuple[str, ...]
    group_by: tuple[tuple[EventField, ...], ...]
    timespan: int
    condition: Range
    counted: EventField | None = None
    lateness: int | None = None
    extension: Extension | None = None
    generate: bool = False

    @property
    def actor_at(self) -> int | None:
        """Where a group has an actor: the place of the first name that stands for `actor.id` of a member."""
        columns = zip(*self.group_by, strict=True)
        return next(
            (at for at, fields in enumerate(columns) if any(each.name == "actor.id" for each in fields)), None
        )

    @property
    def decided_later(self) -> bool:
        """Whether it is known only when a time has passed, and not at an event."""
        return not self.condition.open_ended or isinstance(self.extension, Absence | Numbering)


class RuleSet:
    """Rules whose references are resolved, each after those that it refers to."""

    def __init__(self, rules: Sequence[Rule], silent: frozenset[str] = frozenset()) -> None:
        """`silent`: ids of rules that report nothing."""
        self._by_id = {rule.head.id: rule for rule in rules}
        self._rules = tuple(rules)
        self._silent = silent

    def __iter__(self) -> Iterator[Rule]:
        return iter(self._rules)

    def __len__(self) -> int:
        return len(self._rules)

    def __getitem__(self, id: str) -> Rule:
        return self._by_id[id]

    def part(self, id: str) -> RuleSet:
        """One rule, those that it refers to, and those that explain accesses when it sees the unexplained ones.

        It reports, also where here it only feeds others.
        """
        wanted: list[str] = []

        def add(each: str) -> None:
            rule = self._by_id[each]
            for member in rule.members if isinstance(rule, CorrelationRule) else ():
                add(member)
            if each not in wanted:
                wanted.append(each)

        add(id)
        found = [self._by_id[each] for each in wanted]
        if any(isinstance(rule, EventRule) and rule.unexplained for rule in found):
            found += [rule for rule in self.explaining if rule not in found]
        return RuleSet(found)

    @property
    def explaining(self) -> list[EventRule]:
        """The rules that explain accesses, and report nothing."""
        return [
            rule
            for rule in self._rules
            if isinstance(rule, EventRule) and rule.explains and rule.head.id not in self._silent
        ]

    def without(self, ids: Iterable[str]) -> RuleSet:
        """The set in which these rules report and explain nothing. They still feed the correlations that count them."""
        return RuleSet(self._rules, self._silent | frozenset(ids))

    @property
    def reported(self) -> list[Rule]:
        """The rules that report what they find: those that no correlation uses, or only with `generate: true`."""
        used = {id: each.generate for each in self._correlations() for id in each.members}
        explaining = (rule.head.id for rule in self._rules if isinstance(rule, EventRule) and rule.explains)
        used.update(dict.fromkeys(explaining, False))
        for each in self._correlations():
            for id in each.members:
                used[id] = used[id] or each.generate
        return [
            rule for rule in self._rules if used.get(rule.head.id, True) and rule.head.id not in self._silent
        ]

    def _correlations(self) -> Iterable[CorrelationRule]:
        return (rule for rule in self._rules if isinstance(rule, CorrelationRule))


def digest_of(text: str, references: Iterable[str] = ()) -> str:
    """The SHA-256 of a document's text; of the digests of document and references when there are any."""
    own = sha256(text.encode()).hexdigest()
    others = list(references)
    return own if not others else sha256("\n".join([own, *others]).encode()).hexdigest()


def place(head: Head) -> str:
    """Where a rule is, for messages."""
    return f"{head.file}, line {head.line}"


def in_order(references: Mapping[str, Sequence[str]], places: Mapping[str, str]) -> list[str]:
    """The ids, each after those that it refers to. Raises `ConfigurationError` for circles and long chains."""
    depths: dict[str, int] = {}

    def visit(id: str, above: tuple[str, ...]) -> int:
        if id in above:
            raise ConfigurationError(f"{places[id]}: correlation.rules: the rule refers to itself")
        if id not in depths:
            if len(above) > MAX_CHAIN:
                raise ConfigurationError(
                    f"{places[above[0]]}: correlation.rules: at most {MAX_CHAIN} correlations of correlations"
                )
            depths[id] = 1 + max((visit(each, (*above, id)) for each in references[id]), default=0)
        return depths[id]

    for id in references:
        visit(id, ())
    return list(depths)
