"""The rules that count now, with how right they were; suppressions; and how many accesses are explained."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar
from uuid import uuid4

from msgspec import Struct

from dashboard import links
from dashboard.detection.words import HIDDEN, LONGEST, AlertRow, Chosen, Said, alert_row, precision_of
from dashboard.render import View
from dashboard.viewer import Moment, Viewer
from domain.access.grants import Operation
from queries.detection.results import (
    AlertPage,
    DepartmentAccesses,
    ExplainedAccesses,
    RuleList,
    RuleText,
    RuleView,
    SuppressionView,
    SwitchedOffRule,
)

PATH = "/rules"
RANGES = (7, 30, 90)
"""Days for which explained accesses are shown."""
USUAL_DAYS = 30
NEWEST = 20
"""Alerts on the page of a rule."""


class RuleRow(Struct, frozen=True, kw_only=True):
    """A rule. `missing` are the tables of context that are not loaded."""

    link: str
    title: str
    level: str
    missing: Sequence[str]
    alerts: int
    alerts_link: str
    precision: str
    breaches: int
    justified: int
    false_alarms: int
    author: str


class SuppressionRow(Struct, frozen=True, kw_only=True):
    """A suppression that holds alerts back now. `command` is the id of the command that ends it."""

    id: str
    rule: str
    link: str
    match: list[tuple[str, str]]
    owner: str
    reason: str
    until: Moment
    command: str


class DepartmentRow(Struct, frozen=True, kw_only=True):
    """The accesses of a department. `share` is a length of 0 to 100."""

    name: str
    accesses: int
    explained: int
    percent: str
    share: float


class RuleOverview(View, frozen=True, kw_only=True):
    """The page."""

    template: ClassVar[str] = "rules.html"
    since: Moment | None
    fault: str
    fault_since: Moment | None
    missing: int
    rules: list[RuleRow]
    switched_off: Sequence[SwitchedOffRule]
    suppressions: list[SuppressionRow]
    may_suppress: bool
    days: int
    ranges: list[Chosen]
    departments: list[DepartmentRow]
    longest: int
    said: Said | None
    as_of_position: int


class RuleDetail(View, frozen=True, kw_only=True):
    """One rule. `counts`: it is in the set that counts now."""

    template: ClassVar[str] = "rule.html"
    id: str
    counts: bool
    level: str
    author: str
    digest: str
    missing: Sequence[str]
    raised: int
    alerts_link: str
    precision: str
    decided: int
    breaches: int
    justified: int
    false_alarms: int
    rows: list[AlertRow]
    file: str
    text: str
    as_of_position: int


def rule_overview(
    found: RuleList,
    suppressions: Sequence[SuppressionView],
    explained: ExplainedAccesses,
    viewer: Viewer,
    days: int,
    said: Said | None = None,
) -> RuleOverview:
    """The page of all rules."""
    titles = {each.rule_id: each.title for each in found.rules}
    since: datetime | None = max((each.active_from for each in found.rules), default=None)
    return RuleOverview(
        viewer=viewer,
        title="Rules",
        since=None if since is None else viewer.moment(since),
        fault=found.fault or "",
        fault_since=None if found.fault_since is None else viewer.moment(found.fault_since),
        missing=sum(bool(each.missing) for each in found.rules),
        rules=[_rule_row(each) for each in found.rules],
        switched_off=found.switched_off,
        suppressions=[_suppression_row(each, titles, viewer) for each in suppressions],
        may_suppress=viewer.may(Operation.SUPPRESS_ALERTS),
        days=days,
        ranges=[Chosen(f"{each} days", f"{PATH}?days={each}#explained", each == days) for each in RANGES],
        departments=[_department(each) for each in explained.departments],
        longest=LONGEST,
        said=said,
        as_of_position=found.as_of_position,
    )


def rule_page(id: str, found: RuleText | None, alerts: AlertPage, viewer: Viewer) -> RuleDetail | None:
    """The page of one rule; None for a rule that neither counts nor has alerts."""
    if found is None and not alerts.alerts:
        return None
    rule = None if found is None else found.rule
    return RuleDetail(
        viewer=viewer,
        title=rule.title if rule is not None else alerts.alerts[0].title,
        id=id,
        counts=rule is not None,
        level=rule.level.value if rule else "",
        author=(rule.author if rule else None) or "",
        digest=rule.rule_digest if rule else "",
        missing=rule.missing if rule else (),
        raised=rule.alerts if rule else 0,
        alerts_link=links.alerts(rule=id),
        precision=precision_of(rule) if rule else "",
        decided=rule.justified + rule.policy_breaches + rule.false_alarms if rule else 0,
        breaches=rule.policy_breaches if rule else 0,
        justified=rule.justified if rule else 0,
        false_alarms=rule.false_alarms if rule else 0,
        rows=[alert_row(each, viewer) for each in alerts.alerts],
        file=found.file if found else "",
        text=found.text if found else "",
        as_of_position=alerts.as_of_position,
    )


def _rule_row(rule: RuleView) -> RuleRow:
    return RuleRow(
        link=links.rule(rule.rule_id),
        title=rule.title,
        level=rule.level.value,
        missing=rule.missing,
        alerts=rule.alerts,
        alerts_link=links.alerts(rule=rule.rule_id),
        precision=precision_of(rule),
        breaches=rule.policy_breaches,
        justified=rule.justified,
        false_alarms=rule.false_alarms,
        author=rule.author or "",
    )


def _suppression_row(each: SuppressionView, titles: dict[str, str], viewer: Viewer) -> SuppressionRow:
    return SuppressionRow(
        id=each.suppression_id,
        rule=titles.get(each.rule_id, each.rule_id),
        link=links.rule(each.rule_id),
        match=[(pair.name, HIDDEN if pair.value is None else pair.value) for pair in each.match],
        owner=each.owner_name or each.owner,
        reason=each.reason,
        until=viewer.moment(each.expires_at),
        command=str(uuid4()),
    )


def _department(each: DepartmentAccesses) -> DepartmentRow:
    return DepartmentRow(
        name=each.department or "no department known",
        accesses=each.accesses,
        explained=each.explained,
        percent=f"{100 * each.share:.0f} %",
        share=round(100 * each.share, 1),
    )
