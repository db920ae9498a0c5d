"""Alerts in the schema, and pages of them as Relay connections."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import strawberry

from domain.alert_level import Level
from domain.cases.commands import Verdict
from graphql_api.context import Context
from graphql_api.errors import translated
from graphql_api.types.connection import PageInfo
from graphql_api.types.descriptions import argument, described, documented, part
from graphql_api.types.scalars import Long
from queries.cursors import decode_place_cursor, encode_place_cursor
from queries.detection import results
from queries.detection.results import BEGIN, AlertFilter, AlertKind, Handling, Place

strawberry.enum(Level, name="Level", description="How serious an alert or a case is: the levels of Sigma.")
strawberry.enum(Verdict, name="Verdict", description="What somebody decided about a case.")
strawberry.enum(
    AlertKind,
    name="AlertKind",
    description="A match, or a limit that a rule has met, which means that it may have missed something.",
)
strawberry.enum(
    Handling, name="Handling", description="Whether an alert is in no case, an open case or a decided one."
)
First = Annotated[int, argument("How many rows, from the beginning of the list.")]
After = Annotated[str | None, argument("Only rows after this cursor.")]


@documented
class NamedValue:
    """A field's name and its value."""

    name: str = described("The name of the field.")
    value: str | None = described("Its value; null if it is hidden from you.")


@documented
class Alert:
    """What a rule has found, with the whole evidence once its window has passed."""

    alert_id: strawberry.ID = described("Its id, which is also that of its event `alert.raised`.")
    position: Long = described("The position of the event that completed the evidence.")
    raised_at: datetime = described("When that event was recorded.")
    rule_id: strawberry.ID = described("The rule's id.")
    rule_digest: str = described("The SHA-256 of the rule's text at that time.")
    title: str = described("The rule's title.")
    level: Level = described("How serious it is.")
    kind: AlertKind = described("A match, or a limit of the rule.")
    group: list[results.NamedValue] = part("The names and values of the group.", list[NamedValue])
    actor: str | None = described("The person or service that it is about; null if it is about none.")
    events: Long = described("How many events of evidence there are.")
    final: bool = described("Whether its window brings nothing more.")
    begins: datetime = described("The time of the first evidence, by the rule's clock.")
    ends: datetime = described("The time of the last evidence, by the rule's clock.")
    positions: list[Long] = described("The positions of the first 100 events of evidence.")
    reasons: list[str] = described("Why, in words; without reasons that would tell hidden values.")
    case_id: strawberry.ID | None = described("The case that it is in.")
    case_state: Handling = described("How far that case is.")
    verdict: Verdict | None = described("What was decided about that case.")
    suppressed_by: strawberry.ID | None = described("The suppression that holds it back.")


@documented
class AlertEdge:
    """An alert in a page, with its cursor."""

    node: results.AlertView = part("The alert.", Alert)
    cursor: str = described("The opaque cursor of this alert, for `after`.")


@documented
class AlertConnection:
    """A page of alerts, the newest first. It may be short, even empty, and not be the last."""

    edges: list[AlertEdge] = described("The alerts with their cursors.")
    nodes: list[results.AlertView] = part("The alerts alone.", list[Alert])
    page_info: PageInfo = described("How to ask for the next page.")
    as_of_position: Long = described(
        "The page is complete up to this position; -1 when nothing is applied yet."
    )


@strawberry.input(name="AlertFilter", description="Conditions on alerts, which must all hold.")
class AlertFilterInput:
    """The conditions."""

    level: Level | None = strawberry.field(default=None, description="Alerts of this level and above.")
    rule_id: strawberry.ID | None = strawberry.field(default=None, description="Alerts of this rule.")
    actor: str | None = strawberry.field(default=None, description="Alerts about this person or service.")
    case_id: strawberry.ID | None = strawberry.field(default=None, description="Alerts in this case.")
    handling: Handling | None = strawberry.field(default=None, description="How far their case is.")
    suppressed: bool | None = strawberry.field(
        default=None, description="Whether a suppression holds them back."
    )
    kind: AlertKind | None = strawberry.field(
        default=None, description="Matches, or limits of rules that were met."
    )
    since: datetime | None = strawberry.field(default=None, description="Raised at this time or later.")
    until: datetime | None = strawberry.field(default=None, description="Raised before this time.")


def alert_filter_from(given: AlertFilterInput | None) -> AlertFilter:
    """The conditions for the read models."""
    return AlertFilter() if given is None else AlertFilter(**vars(given))


def place_of(context: Context, first: int, after: str | None, of: str) -> Place:
    """The arguments of a page, checked. Raises `QueryError` that names the argument."""
    context.page_size(first)
    with translated():
        return BEGIN if after is None else decode_place_cursor(after, of)


def page_info(of: str, after: str | None, cursors: list[str], next: Place | None) -> PageInfo:
    """`next` is where the list continues, which may be after the last row of the page."""
    end = cursors[-1] if cursors else None
    return PageInfo(
        has_next_page=next is not None,
        has_previous_page=after is not None,
        start_cursor=cursors[0] if cursors else None,
        end_cursor=end if next is None else encode_place_cursor(of, next),
    )


def alert_edge(alert: results.AlertView) -> AlertEdge:
    """An alert with its cursor."""
    return AlertEdge(node=alert, cursor=encode_place_cursor("a", Place(alert.position, alert.alert_id)))


def alerts_from(page: results.AlertPage, after: str | None) -> AlertConnection:
    """A page as a connection."""
    edges = [alert_edge(each) for each in page.alerts]
    return AlertConnection(
        edges=edges,
        nodes=page.alerts,
        page_info=page_info("a", after, [each.cursor for each in edges], page.next),
        as_of_position=Long(page.as_of_position),
    )
