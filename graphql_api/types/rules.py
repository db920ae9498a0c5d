"""Rules, suppressions and explained accesses in the schema."""

from __future__ import annotations

from datetime import datetime

import strawberry

from domain.alert_level import Level
from graphql_api.types.alerts import NamedValue, page_info
from graphql_api.types.connection import PageInfo
from graphql_api.types.descriptions import described, documented, part
from graphql_api.types.scalars import Long
from queries.cursors import encode_place_cursor
from queries.detection import results
from queries.detection.results import Place


@documented
class DetectionRule:
    """A rule that counts now, and how right it was."""

    rule_id: strawberry.ID = described("Its id.")
    rule_digest: str = described("The SHA-256 of its text.")
    title: str = described("Its title.")
    level: Level = described("How serious its alerts are.")
    author: str | None = described("Who wrote it.")
    missing: list[str] = described("The tables of context without which it can't be evaluated.")
    active_from: datetime = described("When the event was recorded from which on it counts as it is.")
    alerts: Long = described("How many alerts it has raised, counted up to 10,000.")
    open_cases: Long = described("The open cases of its newest 1,000 alerts.")
    justified: Long = described("Of the decided cases of these alerts: those that were justified.")
    policy_breaches: Long = described("Of these: those that were breaches of policy.")
    false_alarms: Long = described("Of these: those that were false alarms.")
    precision: float | None = described(
        "The share of breaches of policy in these decided cases; null without any."
    )


@documented
class SwitchedOffRule:
    """A rule that reports nothing, by the decision of an owner."""

    rule: strawberry.ID = described("The rule's id.")
    owner: str = described("Who answers for the decision.")
    reason: str = described("Why.")
    until: str = described("The day on which the decision ends; empty if it has none.")


@documented
class DetectionRules:
    """The rules that count now, and those that are switched off."""

    rules: list[results.RuleView] = part("The rules, the most serious first.", list[DetectionRule])
    switched_off: list[results.SwitchedOffRule] = part(
        "The rules that are switched off.", list[SwitchedOffRule]
    )
    position: Long | None = described("The position of the event from which on they count.")
    set_digest: str | None = described("The digest of their set.")
    fault: str | None = described(
        "Why the files of rules do not count, so that the rules before go on; or null."
    )
    fault_since: datetime | None = described("Since when.")
    as_of_position: Long = described("The numbers are complete up to this position.")


@documented
class Suppression:
    """A decision that alerts of a rule are held back for a time. They keep their evidence."""

    suppression_id: strawberry.ID = described("Its id.")
    position: Long = described("The position of its first event.")
    rule_id: strawberry.ID = described("The rule.")
    match: list[results.NamedValue] = part(
        "The names and values of the groups that it holds back; empty for all.", list[NamedValue]
    )
    owner: str = described("Who answers for it.")
    owner_name: str | None = described("The name of that person.")
    started_at: datetime = described("When it began.")
    started_by: str = described("Who began it.")
    reason: str = described("Why.")
    expires_at: datetime = described("When it ends at the latest.")
    ended_at: datetime | None = described("When somebody ended it.")
    ended_by: str | None = described("Who ended it.")
    end_reason: str | None = described("Why it was ended.")
    active: bool = described("Whether it holds alerts back now.")
    held_back: Long = described("How many alerts it has held back, counted up to 10,000.")


@documented
class SuppressionEdge:
    """A suppression in a page, with its cursor."""

    node: results.SuppressionView = part("The suppression.", Suppression)
    cursor: str = described("The opaque cursor of this suppression, for `after`.")


@documented
class SuppressionConnection:
    """A page of suppressions, the newest first. It may be short, even empty, and not be the last."""

    edges: list[SuppressionEdge] = described("The suppressions with their cursors.")
    nodes: list[results.SuppressionView] = part("The suppressions alone.", list[Suppression])
    page_info: PageInfo = described("How to ask for the next page.")
    as_of_position: Long = described(
        "The page is complete up to this position; -1 when nothing is applied yet."
    )


@documented
class RuleShare:
    """How many accesses a rule explains."""

    rule_id: strawberry.ID = described("The rule.")
    accesses: Long = described("How many.")


@documented
class DepartmentAccesses:
    """The accesses of a department's staff."""

    department: str | None = described("The department; null for staff without one.")
    accesses: Long = described("How many accesses.")
    explained: Long = described("How many a rule explains.")
    unexplained: Long = described("How many no rule explains.")
    share: float = described("The share of explained accesses.")
    by_rule: list[results.RuleShare] = part("The rules that explain them.", list[RuleShare])


@documented
class ExplainedAccesses:
    """The share of accesses for which a rule knows a reason, by department."""

    departments: list[results.DepartmentAccesses] = part(
        "The departments, most accesses first.", list[DepartmentAccesses]
    )
    accesses: Long = described("All accesses.")
    explained: Long = described("How many of them a rule explains.")
    share: float | None = described("Their share; null without any access.")
    as_of_position: Long = described("The numbers are complete up to this position.")


def suppressions_from(page: results.SuppressionPage, after: str | None) -> SuppressionConnection:
    """A page as a connection."""
    edges = [
        SuppressionEdge(node=each, cursor=encode_place_cursor("s", Place(each.position, each.suppression_id)))
        for each in page.suppressions
    ]
    return SuppressionConnection(
        edges=edges,
        nodes=page.suppressions,
        page_info=page_info("s", after, [each.cursor for each in edges], page.next),
        as_of_position=Long(page.as_of_position),
    )
