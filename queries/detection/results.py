"""Results of queries about alerts, cases, rules and suppressions. Times are aware, and ids are text."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from msgspec import Struct

from domain.alert_level import Level
from domain.cases.commands import Verdict

LEVELS = tuple(Level)
"""From the least to the most serious."""


class Place(NamedTuple):
    """Where a list by position continues: after this row."""

    position: int
    id: str


END = "\U0010ffff"
"""After every id."""
BEGIN = Place(2**63 - 1, END)
"""Before the newest row."""


class Handling(StrEnum):
    """How far the case of an alert is."""

    NONE = "no_case"
    """The alert is in no case."""
    OPEN = "open_case"
    DECIDED = "decided_case"


class AlertKind(StrEnum):
    """A match, or a limit that a rule has met, which means that it may have missed something."""

    MATCH = "match"
    OVERFLOW = "overflow"
    LATE = "late"


class AlertFilter(Struct, frozen=True, kw_only=True):
    """Conditions on alerts that must all hold. `level`: at least this one. `since` is inclusive, `until` is not."""

    level: Level | None = None
    rule_id: str | None = None
    actor: str | None = None
    case_id: str | None = None
    handling: Handling | None = None
    suppressed: bool | None = None
    kind: AlertKind | None = None
    since: datetime | None = None
    until: datetime | None = None


class NamedValue(Struct, frozen=True):
    """A field's name, and its value; null when the value is hidden from the reader."""

    name: str
    value: str | None


class AlertView(Struct, frozen=True, kw_only=True):
    """An alert, with the whole evidence once its window has passed (`final`).

    `position` is that of the event that completed the evidence. `events` is the number of all events of evidence;
    `positions` are those of the first 100. `case_state` and `verdict` are those of its case. `suppressed_by` is the id
    of the suppression that holds it back.
    """

    alert_id: str
    position: int
    raised_at: datetime
    rule_id: str
    rule_digest: str
    title: str
    level: Level
    kind: AlertKind
    group: tuple[NamedValue, ...]
    actor: str | None
    events: int
    final: bool
    begins: datetime
    ends: datetime
    positions: tuple[int, ...]
    reasons: tuple[str, ...]
    case_id: str | None
    case_state: Handling
    verdict: Verdict | None
    suppressed_by: str | None


class AlertPage(Struct, frozen=True):
    """Alerts, the newest first. `next` is where the list continues; None at its end.

    A page may be short, even empty, and not be the last.
    """

    alerts: list[AlertView]
    as_of_position: int
    next: Place | None


class FollowedAlerts(NamedTuple):
    """Alerts, the oldest first, and the place up to which all were looked at. `more`: others may follow at once."""

    alerts: list[AlertView]
    place: Place
    more: bool


class CaseState(StrEnum):
    """How far a case is."""

    OPEN = "open"
    DECIDED = "decided"


class CaseFilter(Struct, frozen=True, kw_only=True):
    """Conditions on cases that must all hold.

    `asked`: whether a question to an employee is open. `level`: at least.
    """

    state: CaseState | None = None
    level: Level | None = None
    assignee: str | None = None
    actor: str | None = None
    asked: bool | None = None


class CaseView(Struct, frozen=True, kw_only=True):
    """A case. `actor` is the id of the person or service that it is about, null when it is about none.

    `alerts` and `entries` are numbers. `asked` and `question` are those of the open question. `position` is that of its
    newest event.
    """

    case_id: str
    opened_position: int
    opened_at: datetime
    opened_by: str
    actor: str | None
    title: str
    level: Level
    reason: str
    earlier_case: str | None
    state: CaseState
    verdict: Verdict | None
    decided_at: datetime | None
    decided_by: str | None
    decision_reason: str | None
    decision_seconds: int | None
    assignee: str | None
    assignee_name: str | None
    asked: str | None
    question: str | None
    alerts: int
    newest_alert_at: datetime | None
    entries: int
    position: int
    changed_at: datetime


class CasePage(Struct, frozen=True):
    """Cases, the newest first; `next` as in `AlertPage`."""

    cases: list[CaseView]
    as_of_position: int
    next: Place | None


class CaseEntry(Struct, frozen=True, kw_only=True):
    """One event of a case. `kind` is its name, such as ``case.decided``; `by_kind`, `by_id`, `by_name`: who did it.

    `text` is the comment, question, answer or reason; `person` the assignee, or the employee asked; `verdict` and
    `seconds` belong to a decision; `alert_id` is the alert that opened the case or joined it.
    """

    position: int
    at: datetime
    recorded_at: datetime
    kind: str
    by_kind: str
    by_id: str
    by_name: str | None
    text: str | None
    person: str | None
    person_name: str | None
    verdict: Verdict | None
    seconds: int | None
    alert_id: str | None


class CaseDetail(Struct, frozen=True, kw_only=True):
    """A case with its entries, the oldest first, and its newest alerts.

    `next_entry` is the position after which the entries continue; None at their end.
    """

    case: CaseView
    history: list[CaseEntry]
    newest_alerts: list[AlertView]
    as_of_position: int
    next_entry: int | None


class QuestionView(Struct, frozen=True, kw_only=True):
    """An open question to an employee: all that the employee sees of the case."""

    case_id: str
    question: str
    asked_at: datetime


class RuleView(Struct, frozen=True, kw_only=True):
    """A rule that counts now. `missing` are the tables of context without which it can't be evaluated.

    `alerts`: how many it has raised, counted up to 10,000. `justified`, `policy_breaches` and `false_alarms`: the
    decided cases of its newest 1,000 alerts, by verdict. `precision` is the share of policy breaches in them, null
    without a decided case.
    """

    rule_id: str
    rule_digest: str
    title: str
    level: Level
    author: str | None
    missing: tuple[str, ...]
    active_from: datetime
    alerts: int
    open_cases: int
    justified: int
    policy_breaches: int
    false_alarms: int
    precision: float | None


class SwitchedOffRule(Struct, frozen=True, kw_only=True):
    """A rule that reports nothing, by the decision of an owner. `until` is a date, or empty."""

    rule: str
    owner: str
    reason: str
    until: str = ""


class RuleList(Struct, frozen=True, kw_only=True):
    """The rules that count now, by level and title, and those that are switched off.

    `position` is that of the event from which on they count, `set_digest` the digest of their set. With a `fault` in
    the files of rules, those that counted before go on since then.
    """

    rules: list[RuleView]
    switched_off: list[SwitchedOffRule]
    position: int | None
    set_digest: str | None
    fault: str | None = None
    fault_since: datetime | None = None
    as_of_position: int


class RuleText(Struct, frozen=True, kw_only=True):
    """A rule that counts now, with the file that it stands in."""

    rule: RuleView
    file: str
    text: str
    as_of_position: int


class RuleActivation(Struct, frozen=True, kw_only=True):
    """The decision that a set of rules counts, and what it changed. Null `published_at`: the trail does not have it."""

    event_id: str
    digest: str
    details: dict[str, Any]
    decided_at: datetime
    published_at: datetime | None


class SuppressionView(Struct, frozen=True, kw_only=True):
    """A suppression. `match`: the names and values of the groups that it holds back; all of the rule when empty.

    `held_back`: how many alerts it has held back, counted up to 10,000.
    """

    suppression_id: str
    position: int
    rule_id: str
    match: tuple[NamedValue, ...]
    owner: str
    owner_name: str | None
    started_at: datetime
    started_by: str
    reason: str
    expires_at: datetime
    ended_at: datetime | None
    ended_by: str | None
    end_reason: str | None
    active: bool
    held_back: int


class SuppressionPage(Struct, frozen=True):
    """Suppressions, the newest first; `next` as in `AlertPage`."""

    suppressions: list[SuppressionView]
    as_of_position: int
    next: Place | None


class RuleShare(Struct, frozen=True):
    """How many accesses a rule explains."""

    rule_id: str
    accesses: int


class DepartmentAccesses(Struct, frozen=True, kw_only=True):
    """The accesses of a department's staff. `department` is null for staff without one. `share`: of explained ones."""

    department: str | None
    accesses: int
    explained: int
    unexplained: int
    share: float
    by_rule: list[RuleShare]


class ExplainedAccesses(Struct, frozen=True, kw_only=True):
    """The accesses of the days from `since` until before `until` (UTC), by department, most accesses first."""

    departments: list[DepartmentAccesses]
    accesses: int
    explained: int
    share: float | None
    as_of_position: int
