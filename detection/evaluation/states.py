"""The state that a correlation needs, by its kind."""

from __future__ import annotations

from collections.abc import Sequence

from detection.evaluation.absence import Awaiting
from detection.evaluation.correlating import Correlating
from detection.evaluation.numbering import Numbers
from detection.evaluation.reporting import Due
from detection.evaluation.silence import Silence
from detection.rules.conditions import Absence, Numbering
from detection.rules.rule import CorrelationRule, Rule

State = Correlating | Awaiting | Silence | Numbers


def state_of(
    rule: CorrelationRule, order: int, members: Sequence[Rule], *, reports: bool, due: list[Due]
) -> State:
    """An empty state; see `Correlating` for the arguments."""
    made: type[State] = Correlating
    match rule.extension:
        case Absence(rhythm=None):
            made = Awaiting
        case Absence():
            made = Silence
        case Numbering():
            made = Numbers
    return made(rule, order, members, reports=reports, due=due)
