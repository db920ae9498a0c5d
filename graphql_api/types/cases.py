"""Cases and questions in the schema."""

from __future__ import annotations

from datetime import datetime

import strawberry

from domain.alert_level import Level
from domain.cases.commands import Verdict
from graphql_api.types.alerts import Alert, page_info
from graphql_api.types.connection import PageInfo
from graphql_api.types.descriptions import described, documented, part
from graphql_api.types.scalars import Long
from queries.cursors import encode_place_cursor
from queries.detection import results
from queries.detection.results import CaseFilter, CaseState, Place

strawberry.enum(CaseState, name="CaseState", description="Whether a case is open or decided.")


@documented
class Case:
    """What people look into: alerts about one actor, or what somebody has reported."""

    case_id: strawberry.ID = described("Its id.")
    opened_position: Long = described("The position of the event that opened it.")
    opened_at: datetime = described("When it was opened.")
    opened_by: str = described("Who opened it; `audit-trail` if an alert did.")
    actor: str | None = described("The person or service that it is about; null if it is about none.")
    title: str = described("What it is about.")
    level: Level = described("How serious it is: the highest level of its alerts.")
    reason: str = described("Why somebody opened it by hand.")
    earlier_case: strawberry.ID | None = described("The previous case about the same actor.")
    state: CaseState = described("Whether it is open or decided.")
    verdict: Verdict | None = described("What was decided.")
    decided_at: datetime | None = described("When it was decided.")
    decided_by: str | None = described("Who decided it.")
    decision_reason: str | None = described("The reason of the decision.")
    decision_seconds: int | None = described("How long the review took, if it was measured.")
    assignee: str | None = described("Who works on it.")
    assignee_name: str | None = described("The name of that person.")
    asked: str | None = described("The employee of the open question.")
    question: str | None = described("The open question.")
    alerts: Long = described("How many alerts it has.")
    newest_alert_at: datetime | None = described("When its newest alert was raised.")
    entries: Long = described("How many entries it has.")
    position: Long = described("The position of its newest event.")
    changed_at: datetime = described("When that event was recorded.")


@documented
class CaseEntry:
    """One event of a case."""

    position: Long = described("Its position in the log.")
    at: datetime = described("When it happened.")
    recorded_at: datetime = described("When it was recorded.")
    kind: str = described("What happened, such as `case.decided`.")
    by_kind: str = described("What acted: a user, or a service.")
    by_id: str = described("Who did it.")
    by_name: str | None = described("The name of that person.")
    text: str | None = described("The comment, question, answer or reason.")
    person: str | None = described("The assignee, or the employee asked.")
    person_name: str | None = described("The name of that person.")
    verdict: Verdict | None = described("The verdict of a decision.")
    seconds: int | None = described("How long the review took, if it was measured.")
    alert_id: strawberry.ID | None = described("The alert that opened the case or joined it.")


@documented
class CaseDetail:
    """A case with its entries and its newest alerts."""

    case: results.CaseView = part("The case.", Case)
    history: list[results.CaseEntry] = part("Its entries, the oldest first.", list[CaseEntry])
    newest_alerts: list[results.AlertView] = part("Its newest alerts.", list[Alert])
    next_entry: Long | None = described("The position after which the entries continue; null at their end.")
    as_of_position: Long = described("It is complete up to this position.")


@documented
class CaseEdge:
    """A case in a page, with its cursor."""

    node: results.CaseView = part("The case.", Case)
    cursor: str = described("The opaque cursor of this case, for `after`.")


@documented
class CaseConnection:
    """A page of cases, the newest first. It may be short, even empty, and not be the last."""

    edges: list[CaseEdge] = described("The cases with their cursors.")
    nodes: list[results.CaseView] = part("The cases alone.", list[Case])
    page_info: PageInfo = described("How to ask for the next page.")
    as_of_position: Long = described(
        "The page is complete up to this position; -1 when nothing is applied yet."
    )


@documented
class Question:
    """An open question to you about a case."""

    case_id: strawberry.ID = described("The case, which you need for the answer.")
    question: str = described("The question.")
    asked_at: datetime = described("When it was asked.")


@strawberry.input(name="CaseFilter", description="Conditions on cases, which must all hold.")
class CaseFilterInput:
    """The conditions."""

    state: CaseState | None = strawberry.field(default=None, description="Open cases, or decided ones.")
    assignee: str | None = strawberry.field(default=None, description="Cases that this person works on.")
    actor: str | None = strawberry.field(default=None, description="Cases about this person or service.")
    level: Level | None = strawberry.field(default=None, description="Cases of this level and above.")
    asked: bool | None = strawberry.field(
        default=None, description="Whether a question to an employee is open."
    )


def case_filter_from(given: CaseFilterInput | None) -> CaseFilter:
    """The conditions for the read models."""
    return CaseFilter() if given is None else CaseFilter(**vars(given))


def cases_from(page: results.CasePage, after: str | None) -> CaseConnection:
    """A page as a connection."""
    edges = [
        CaseEdge(node=each, cursor=encode_place_cursor("k", Place(each.opened_position, each.case_id)))
        for each in page.cases
    ]
    return CaseConnection(
        edges=edges,
        nodes=page.cases,
        page_info=page_info("k", after, [each.cursor for each in edges], page.next),
        as_of_position=Long(page.as_of_position),
    )
