"""Alarms against labels: precision and recall of each rule, and what each kind of incident led to."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct, field

from benchmarks.hospital.diary import Incident
from benchmarks.hospital.kinds import LOOK_ALIKES, MISUSE
from detection.evaluation.firing import Firing, FiringKind
from detection.rules.rule import RuleSet


class RuleScore(Struct):
    """`expected`: labelled incidents that the rule should find, `found`: those that it did find.

    `alarms`: its findings, of which `right` have evidence of labelled misuse, `false` by kind of look-alike; ordinary
    work is "everyday work". `limits`: findings about the rule's own bounds.
    """

    name: str
    level: str
    shipped: bool = True
    expected: int = 0
    found: int = 0
    alarms: int = 0
    right: int = 0
    limits: int = 0
    false: Counter[str] = field(default_factory=Counter)

    @property
    def recall(self) -> float | None:
        """The share of the labelled incidents that it found."""
        return self.found / self.expected if self.expected else None

    @property
    def precision(self) -> float | None:
        """The share of its alarms that are about misuse."""
        return self.right / self.alarms if self.alarms else None


class Findings:
    """Collects the firings of a detector over a labelled log. A window that grows is one alarm."""

    def __init__(self, rules: RuleSet) -> None:
        self._names = {rule.head.id: Path(rule.head.file).stem for rule in rules.reported}
        self._levels = {Path(rule.head.file).stem: rule.head.level.value for rule in rules.reported}
        self._alarms: dict[tuple[str, tuple[tuple[str, str], ...], int, tuple[int, ...]], set[int]] = {}
        self._limits: Counter[str] = Counter()

    def add(self, firings: Iterable[Firing]) -> None:
        """Keep these."""
        for firing in firings:
            name = self._names.get(firing.rule)
            if name is None:
                continue
            if firing.kind is not FiringKind.MATCH:
                self._limits[name] += 1
                continue
            # A rule for single events has no group: each event is an alarm of its own.
            alarm = (name, firing.group, firing.opened_at, () if firing.group else firing.positions)
            self._alarms.setdefault(alarm, set()).update(firing.positions)

    def scores(self, incidents: Iterable[Incident]) -> list[RuleScore]:
        """The score of each rule, also of those that are expected and not shipped."""
        labelled = [incident for incident in incidents if incident.positions]
        at = {position: incident for incident in labelled for position in incident.positions}
        expected: Counter[str] = Counter()
        for incident in labelled:
            expected.update(MISUSE[incident.kind].rules if incident.kind in MISUSE else ())
        scores = {
            name: RuleScore(
                name=name,
                level=self._levels.get(name, ""),
                shipped=name in self._levels,
                expected=expected[name],
                limits=self._limits[name],
            )
            for name in sorted(self._levels.keys() | expected.keys())
        }
        found: dict[str, set[int]] = defaultdict(set)
        for (name, *_), positions in self._alarms.items():
            score = scores[name]
            score.alarms += 1
            met = [at[position] for position in positions if position in at]
            misuse = [incident for incident in met if incident.kind in MISUSE]
            score.right += bool(misuse)
            if not misuse:
                score.false[met[0].kind if met else "everyday work"] += 1
            found[name].update(id(each) for each in misuse if name in MISUSE[each.kind].rules)
        for name, incidents_found in found.items():
            scores[name].found = len(incidents_found)
        return list(scores.values())

    def by_kind(self, incidents: Iterable[Incident]) -> list[tuple[str, int, int, list[str]]]:
        """For each kind: how many, how many of them any rule found, and the rules that did."""
        rules: dict[int, set[str]] = defaultdict(set)
        labelled = [incident for incident in incidents if incident.positions]
        at = {position: incident for incident in labelled for position in incident.positions}
        for (name, *_), positions in self._alarms.items():
            for position in positions & at.keys():
                rules[id(at[position])].add(name)
        rows = []
        for kind in (*MISUSE, *LOOK_ALIKES):
            those = [incident for incident in labelled if incident.kind == kind]
            names = Counter(name for each in those for name in rules[id(each)])
            hit = sum(bool(rules[id(each)]) for each in those)
            rows.append((kind, len(those), hit, [name for name, _ in names.most_common()]))
        return rows
