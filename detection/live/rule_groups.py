"""Whether a suppression can hold anything back: it names a rule that reports, and fields by which that rule groups."""

from __future__ import annotations

from detection.live.alerts import ACTOR
from detection.live.rule_sets import newest_activation, read_set
from detection.rules.rule import CorrelationRule, Rule
from domain.cases.commands import Suppress
from domain.errors import ConflictError, Reason
from event_store.database import Database

_NO_RULE = "no rule that counts now reports under this id: take it from /v1/detection/rules"


def require_rule_group(database: Database, wanted: Suppress) -> None:
    """Raise `ConflictError` for a suppression that no alert of the rules that count now could match."""
    activation = newest_activation(database)
    rules = [] if activation is None else read_set(database, activation.digest).reported
    rule = next((each for each in rules if each.head.id == str(wanted.rule_id)), None)
    if rule is None:
        raise ConflictError(Reason.CONFLICT, _NO_RULE, field="rule_id")
    names = _group_names(rule)
    if not names.issuperset(wanted.match):
        fields = ", ".join(sorted(names))
        raise ConflictError(
            Reason.CONFLICT,
            f"alerts of this rule can be told apart by {fields} alone: name these, or leave match out",
            field="match",
        )


def _group_names(rule: Rule) -> frozenset[str]:
    """The names in the groups of a rule's alerts. An alert without a group has the actor of its event."""
    names = frozenset(rule.group_names) if isinstance(rule, CorrelationRule) else frozenset()
    return names or frozenset({ACTOR})
