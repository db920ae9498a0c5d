"""The fields of Query about detection. Commands are REST: the schema has no mutations."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import strawberry

from graphql_api.context import Info
from graphql_api.errors import translated
from graphql_api.types.alerts import (
    After,
    Alert,
    AlertConnection,
    AlertFilterInput,
    First,
    alert_filter_from,
    alerts_from,
    place_of,
)
from graphql_api.types.arguments import MinPosition, WaitForPosition, WaitSeconds
from graphql_api.types.cases import (
    CaseConnection,
    CaseDetail,
    CaseFilterInput,
    Question,
    case_filter_from,
    cases_from,
)
from graphql_api.types.descriptions import argument, documented
from graphql_api.types.rules import (
    DetectionRules,
    ExplainedAccesses,
    SuppressionConnection,
    suppressions_from,
)
from graphql_api.types.scalars import Long
from queries.detection import results
from queries.detection.read_models import PROJECTION
from queries.freshness import Freshness, least_of

_ROWS = 50


async def ready(info: Info, query: str, freshness: Freshness) -> None:
    """Return when detection is fresh enough, for a principal that may read it."""
    with translated():
        info.context.models.require_cases(query)
    await info.context.wait(freshness, least_of([PROJECTION]))


async def _alerts(
    info: Info,
    first: First,
    after: After = None,
    filter: Annotated[AlertFilterInput | None, argument("Which alerts; all when absent.")] = None,
    min_position: MinPosition = None,
    wait_for_position: WaitForPosition = None,
    wait_seconds: WaitSeconds = None,
) -> AlertConnection:
    context = info.context
    place = place_of(context, first, after, "a")
    freshness = Freshness(min_position, wait_for_position, wait_seconds)
    await ready(info, "alerts", freshness)
    page = await context.read(context.models.alerts, alert_filter_from(filter), first, place)
    context.compare(freshness, page.as_of_position)
    return alerts_from(page, after)


async def _alert(info: Info, id: Annotated[strawberry.ID, argument("The alert's id.")]) -> Any:
    return await info.context.read(info.context.models.alert, id)


async def _cases(
    info: Info,
    first: First,
    after: After = None,
    filter: Annotated[CaseFilterInput | None, argument("Which cases; all when absent.")] = None,
    min_position: MinPosition = None,
    wait_for_position: WaitForPosition = None,
    wait_seconds: WaitSeconds = None,
) -> CaseConnection:
    context = info.context
    place = place_of(context, first, after, "k")
    freshness = Freshness(min_position, wait_for_position, wait_seconds)
    await ready(info, "cases", freshness)
    page = await context.read(context.models.cases, case_filter_from(filter), first, place)
    context.compare(freshness, page.as_of_position)
    return cases_from(page, after)


async def _case(
    info: Info,
    id: Annotated[strawberry.ID, argument("The case's id.")],
    first: Annotated[int, argument("How many entries, and how many alerts.")] = _ROWS,
    after_position: Annotated[Long | None, argument("Only entries after this position.")] = None,
    min_position: MinPosition = None,
    wait_for_position: WaitForPosition = None,
    wait_seconds: WaitSeconds = None,
) -> CaseDetail | None:
    context = info.context
    size = context.page_size(first)
    freshness = Freshness(min_position, wait_for_position, wait_seconds)
    await ready(info, "case", freshness)
    after = -1 if after_position is None else after_position
    found = await context.read(context.models.case, id, size, after)
    if found is None:
        return None
    return CaseDetail(
        case=found.case,
        history=found.history,
        newest_alerts=found.newest_alerts,
        next_entry=None if found.next_entry is None else Long(found.next_entry),
        as_of_position=Long(found.as_of_position),
    )


async def _own_questions(info: Info) -> Any:
    return await info.context.read(info.context.models.own_questions)


async def _detection_rules(info: Info) -> Any:
    return await info.context.read(info.context.models.detection_rules)


async def _suppressions(
    info: Info,
    first: First,
    after: After = None,
    active: Annotated[bool, argument("Only those that hold alerts back now.")] = False,
) -> SuppressionConnection:
    context = info.context
    place = place_of(context, first, after, "s")
    page = await context.read(context.models.suppressions, first, place, active=active)
    return suppressions_from(page, after)


async def _explained_accesses(
    info: Info,
    since: Annotated[datetime, argument("Days (UTC) that begin at this time or later.")],
    until: Annotated[datetime, argument("Days that begin before this time; at most 366 days later.")],
) -> Any:
    return await info.context.read(info.context.models.explained_accesses, since, until)


@documented
class DetectionQueries:
    """All queries about alerts, cases, rules and suppressions."""

    alerts: AlertConnection = strawberry.field(
        resolver=_alerts, description="The alerts that match, newest first."
    )
    alert: results.AlertView | None = strawberry.field(
        resolver=_alert,
        graphql_type=Alert | None,
        description="One alert; null when there is none that you may see.",
    )
    cases: CaseConnection = strawberry.field(
        resolver=_cases, description="The cases that match, newest first."
    )
    case: CaseDetail | None = strawberry.field(
        resolver=_case,
        description="One case with its entries and alerts; null when there is none that you may see.",
    )
    own_questions: list[results.QuestionView] = strawberry.field(
        resolver=_own_questions,
        graphql_type=list[Question],
        description="The open questions to you, oldest first. This needs no role.",
    )
    detection_rules: results.RuleList = strawberry.field(
        resolver=_detection_rules,
        graphql_type=DetectionRules,
        description="The rules that count now, and how right they are.",
    )
    suppressions: SuppressionConnection = strawberry.field(
        resolver=_suppressions, description="The suppressions, newest first."
    )
    explained_accesses: results.ExplainedAccesses = strawberry.field(
        resolver=_explained_accesses,
        graphql_type=ExplainedAccesses,
        description="The share of accesses for which a rule knows a reason, by department.",
    )
