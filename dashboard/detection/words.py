"""Words and parts that the pages about alerts, cases and rules share."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec import Struct

from dashboard import links
from dashboard.texts import many
from dashboard.viewer import Moment, Viewer
from domain.access.grants import Operation
from domain.alert_level import Level
from domain.cases.access import is_person
from domain.cases.commands import Verdict
from queries.detection.results import AlertKind, AlertView, CaseState, CaseView, Handling, RuleView

LEVELS = [each.value for each in reversed(Level)]
LONGEST = 65_536
"""Characters of a text that somebody writes."""
VERDICTS = {
    Verdict.JUSTIFIED: "Justified: there was a reason for it",
    Verdict.POLICY_BREACH: "Policy breach: there was none",
    Verdict.FALSE_ALARM: "False alarm: the rule is wrong here",
}
KINDS = {
    AlertKind.MATCH: "",
    AlertKind.OVERFLOW: "The rule had more groups than it may remember, so it may have missed something.",
    AlertKind.LATE: "Events came later than the rule allows and were not counted, so it may have missed something.",
}
HIDDEN = "not shown to you"
_SERIOUS = frozenset({Level.HIGH, Level.CRITICAL})


class Said(Struct, frozen=True):
    """What a page says about the form that was sent."""

    text: str
    problem: bool = False


class FormResult(Struct, frozen=True):
    """What became of a form, and the fields of one that was refused, by form and name: what was typed stays."""

    said: Said
    typed: Mapping[str, str] = {}


class Chosen(Struct, frozen=True):
    """One of several lists, with its link."""

    text: str
    link: str
    chosen: bool


def unshown_text(typed: Mapping[str, str], shown: Collection[str]) -> str:
    """The text that somebody typed into a form that the page shows no more; empty when all of it is in the `shown`."""
    texts = [text for name, text in typed.items() if name.partition(".")[0] not in shown]
    return max(texts, key=len, default="")


class AlertRow(Struct, frozen=True, kw_only=True):
    """An alert in a list. `state` says how far it is, and leads to its case."""

    link: str
    at: Moment
    level: str
    serious: bool
    title: str
    who: str
    who_link: str
    why: str
    events: int
    growing: bool
    state: str
    case_link: str


class CaseRow(Struct, frozen=True, kw_only=True):
    """A case in a list."""

    link: str
    changed: Moment
    level: str
    title: str
    about: str
    about_link: str
    assignee: str
    alerts: int
    state: str


def alert_row(alert: AlertView, viewer: Viewer) -> AlertRow:
    """An alert in a list."""
    who, who_link = person(alert.actor, viewer)
    return AlertRow(
        link=links.alert(alert.alert_id),
        at=viewer.moment(alert.raised_at),
        level=alert.level.value,
        serious=alert.level in _SERIOUS and alert.case_state is not Handling.DECIDED,
        title=alert.title,
        who=who,
        who_link=who_link,
        why=alert.reasons[0] if alert.reasons else "",
        events=alert.events,
        growing=not alert.final,
        state=alert_state(alert),
        case_link=case_link(alert),
    )


def alert_state(alert: AlertView) -> str:
    """How far an alert is, in words."""
    if alert.suppressed_by is not None:
        return "suppressed"
    match alert.case_state:
        case Handling.NONE:
            return "in no case yet"
        case Handling.OPEN:
            return "in an open case"
        case Handling.DECIDED:
            return f"decided: {verdict_of(alert.verdict)}"


def case_link(alert: AlertView) -> str:
    """The page of an alert's case; empty without one."""
    return "" if alert.case_id is None else links.case(alert.case_id)


def verdict_of(verdict: Verdict | None) -> str:
    """A verdict in words."""
    return "" if verdict is None else verdict.value.replace("_", " ")


def case_row(case: CaseView, viewer: Viewer) -> CaseRow:
    """A case in a list."""
    about, about_link = person(case.actor, viewer, "no single actor")
    return CaseRow(
        link=links.case(case.case_id),
        changed=viewer.moment(case.changed_at),
        level=case.level.value,
        title=case.title,
        about=about,
        about_link=about_link,
        assignee=case.assignee_name or case.assignee or "",
        alerts=case.alerts,
        state=case_state(case),
    )


def case_state(case: CaseView) -> str:
    """How far a case is, in words."""
    if case.state is CaseState.DECIDED:
        return f"decided: {verdict_of(case.verdict)}"
    return "open, waits for an answer" if case.asked is not None or case.question is not None else "open"


def person(id: str | None, viewer: Viewer, nobody: str = "no single actor, or not shown") -> tuple[str, str]:
    """An actor as a page writes it, and the page of that user; empty where there is none."""
    if id is None:
        return nobody, ""
    return id, links.subject("user", id) if viewer.has_page(Operation.READ_USER, id) else ""


def is_own(viewer: Viewer, actor: str | None) -> bool:
    """Whether alerts and cases about an actor are about the viewer."""
    return is_person(viewer.principal, actor)


def precision_of(rule: RuleView) -> str:
    """How often a rule was right, with the numbers behind it."""
    if rule.precision is None:
        return "nothing decided"
    decided = rule.justified + rule.policy_breaches + rule.false_alarms
    return f"{100 * rule.precision:.0f} % of {many(decided, 'case')}"
