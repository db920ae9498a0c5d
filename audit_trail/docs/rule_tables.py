"""The page of the shipped rules, generated from their files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from detection.pack import pack_files
from detection.rules.conditions import Absence, Baseline, NewValues, Numbering, Return, Rhythm
from detection.rules.lookups import When
from detection.rules.rule import CorrelationRule, EventRule, Range, Rule, RuleSet
from detection.rules.rule_file import read_rules

HEAD = (
    "# The shipped rules\n\n"
    "`audit-trail detect run` evaluates these rules over history, and `audit-trail detect pack FOLDER` copies their"
    " files, to change the parameters there. [How to detect](../how-to/detect.md) explains how. The first ones need"
    " nothing but the log, the next ones [context](../how-to/context.md): a rule whose tables are not loaded is not"
    " evaluable, and the run says so. The last ones report nothing: they explain accesses.\n"
)
_PARTS = ("Rules that need the log alone", "Rules that need context", "Rules that explain accesses")


def sections() -> Iterator[str]:
    """The section of each rule that reports or explains, by what it needs, in the order of the files."""
    parts: dict[str, list[str]] = {part: [] for part in _PARTS}
    for file in pack_files():
        rules = read_rules([file])
        for rule in [*rules.reported, *rules.explaining]:
            parts[_part(rules)].append(_section(file, rule, rules))
    for part, found in parts.items():
        yield f"\n## {part}\n"
        yield from found


def _part(rules: RuleSet) -> str:
    if rules.explaining:
        return _PARTS[2]
    return _PARTS[1] if any(rule.looks_up for rule in _event_rules(rules)) else _PARTS[0]


def _section(file: Path, rule: Rule, rules: RuleSet) -> str:
    head = rule.head
    lines = [f"\n### {head.title}\n", " ".join(head.description.split()), ""]
    if not rules.explaining:
        lines.append(f"- Level: {head.level.value}.")
    lines += [f"- Id: `{head.id}`.", f"- File: [{file.name}](../../detection/pack/{file.name})."]
    lines += [f"- Parameters of {_titled(each, rule)}: {_parameters(each)}." for each in _correlations(rules)]
    lines += _context(rules)
    lines += ["- May be nothing: " + " ".join(head.falsepositives), f"- See {', '.join(head.references)}."]
    return "\n".join(lines) + "\n"


def _event_rules(rules: RuleSet) -> list[EventRule]:
    return [rule for rule in rules if isinstance(rule, EventRule)]


def _context(rules: RuleSet) -> Iterator[str]:
    """The tables that the rules of a file need, which rows count when, and which accesses they see."""
    found = _event_rules(rules)
    needs = sorted({table for rule in found for table in rule.needs})
    if needs:
        yield f"- Needs: {', '.join(needs)}."
    times = [
        f"`{each.name}` ({each.table}) counts {_widened(each.when)}"
        for rule in found
        for each in rule.lookups
        if each.when is not None
    ]
    if times:
        yield f"- Times: {'; '.join(times)}."
    if any(rule.unexplained for rule in found):
        yield "- Sees only accesses that no rule explains."


def _widened(when: When) -> str:
    before, after = (_timespan(int(each.total_seconds())) for each in (when.before, when.after))
    begins = f"from {before} before `{when.begins}` " if when.begins else ""
    ends = f"until {after} after `{when.ends}`" if when.ends else ""
    return (begins + ends).strip().replace("from 0d before", "from").replace("until 0d after", "until")


def _correlations(rules: RuleSet) -> list[CorrelationRule]:
    return [rule for rule in reversed(list(rules)) if isinstance(rule, CorrelationRule)]


def _titled(each: CorrelationRule, rule: Rule) -> str:
    return "the rule" if each.head.id == rule.head.id else f"`{each.head.name}`"


def _parameters(rule: CorrelationRule) -> str:
    given = [f"`type: {rule.kind.value}`", f"`timespan: {_timespan(rule.timespan)}`"]
    if rule.counted is not None:
        given.append(f"`field: {rule.counted.name}`")
    if rule.kind.value.endswith("_count"):
        given.append(f"`{_condition(rule.condition)}`")
    given += [f"`{each}`" for each in _extension(rule)]
    if rule.group_names:
        given.append(f"`group-by: {', '.join(rule.group_names)}`")
    return ", ".join(given)


def _extension(rule: CorrelationRule) -> Iterator[str]:
    """The parameters of a condition that Sigma does not have."""
    match rule.extension:
        case Baseline(days=days, percentile=percentile, learning=learning, factor=factor):
            yield f"baseline: days {days}, percentile {percentile:g}, learning {_timespan(learning)}, factor {factor:g}"
        case NewValues(memory=memory, learning=learning):
            yield f"new_values: memory {_timespan(memory)}, learning {_timespan(learning)}"
        case Return(silence=silence, memory=memory):
            yield f"returns_after: silence {_timespan(silence)}, memory {_timespan(memory)}"
        case Absence(rhythm=Rhythm(days=days, factor=factor, learning=learning)):
            yield f"rhythm: days {days}, factor {factor:g}, learning {_timespan(learning)}"
        case Numbering(field=field):
            yield f"numbering: {field.name}"


def _condition(condition: Range) -> str:
    if condition.least == condition.most == 0:
        return "lt: 1"
    most = "" if condition.most is None else f", lte: {condition.most}"
    return f"gte: {condition.least}{most}"


def _timespan(seconds: int) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
