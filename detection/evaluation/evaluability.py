"""Which rules can't be evaluated, because a table of context is missing."""

from __future__ import annotations

from detection.context.index import ContextIndex
from detection.rules.rule import CorrelationRule, EventRule, RuleSet

OF_EXPLAINING = "the tables of at least one explaining rule"
"""Stands for those, after the names of tables."""


def missing_tables(rules: RuleSet, context: ContextIndex) -> dict[str, tuple[str, ...]]:
    """The missing tables of each rule that lacks some.

    A rule for unexplained accesses can't be evaluated either when the set has rules that explain, and none of them can:
    it would find every access. A correlation can't when one of its rules can't.
    """
    found: dict[str, set[str]] = {}
    explaining = [{each for each in rule.needs if not context.has(each)} for rule in rules.explaining]
    nothing_explains = bool(explaining) and all(explaining)
    for rule in rules:
        if isinstance(rule, EventRule):
            missing = {each for each in rule.needs if not context.has(each)}
            if rule.unexplained and nothing_explains:
                missing.add(OF_EXPLAINING)
        else:
            assert isinstance(rule, CorrelationRule)
            missing = {each for id in rule.members for each in found.get(id, ())}
        if missing:
            found[rule.head.id] = missing
    return {
        id: tuple(sorted(missing, key=lambda each: (each == OF_EXPLAINING, each)))
        for id, missing in found.items()
    }
