"""The page of the shipped rules, generated from their files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from detection.pack import pack_files
from detection.rules.rule import CorrelationRule, Range, Rule, RuleSet
from detection.rules.rule_file import read_rules

HEAD = (
    "# The shipped rules\n\n"
    "These rules need nothing but the log. `audit-trail detect run` evaluates them over history, and"
    " `audit-trail detect pack FOLDER` copies their files, to change the parameters there."
    " [How to detect](../how-to/detect.md) explains how.\n"
)


def sections() -> Iterator[str]:
    """The section of each rule that reports, in the order of the files."""
    for file in pack_files():
        rules = read_rules([file])
        for rule in rules.reported:
            yield _section(file, rule, rules)


def _section(file: Path, rule: Rule, rules: RuleSet) -> str:
    head = rule.head
    lines = [f"\n## {head.title}\n", " ".join(head.description.split()), ""]
    lines += [f"- Level: {head.level.value}.", f"- Id: `{head.id}`."]
    lines += [f"- File: [{file.name}](../../detection/pack/{file.name})."]
    lines += [f"- Parameters of {_titled(each, rule)}: {_parameters(each)}." for each in _correlations(rules)]
    lines += ["- May be nothing: " + " ".join(head.falsepositives), f"- See {', '.join(head.references)}."]
    return "\n".join(lines) + "\n"


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
    if rule.group_names:
        given.append(f"`group-by: {', '.join(rule.group_names)}`")
    return ", ".join(given)


def _condition(condition: Range) -> str:
    most = "" if condition.most is None else f", lte: {condition.most}"
    return f"gte: {condition.least}{most}"


def _timespan(seconds: int) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
