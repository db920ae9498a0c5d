"""`/v1/detection` and `GET /v1/suppressions`: rules and how right they are, explained accesses, suppressions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.responses import Response

from queries.cursors import decode_place_cursor, encode_place_cursor
from queries.detection.read_models import PROJECTION
from queries.detection.results import (
    BEGIN,
    ExplainedAccesses,
    RuleActivation,
    RuleList,
    RuleText,
    SuppressionView,
)
from queries.freshness import FreshnessWaiter, least_of
from queries.limits import QueryLimits
from queries.thread_pool import Threads
from web.access import Access
from web.http.problems import problem
from web.openapi.bodies import answer, problems
from web.parameters.filter_query import refuse_repeated
from web.parameters.freshness import FreshnessQuery, Switch, found, link_header
from web.parameters.schemas import SUPPRESSION_CURSOR
from web.rest.pages import page_link, page_size

NO_RULE = "no rule that counts now has this id"
_DIGEST = "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9"
_RULE: dict[str, Any] = {
    "rule_id": "b7f7a6a2-4f0e-4a58-9c36-6f3a2d5f0a11",
    "rule_digest": _DIGEST,
    "title": "Mass access to patients",
    "level": "high",
    "author": "Audit Trail",
    "missing": [],
    "active_from": "2026-02-01T00:00:00Z",
    "alerts": 12,
    "open_cases": 2,
    "justified": 3,
    "policy_breaches": 6,
    "false_alarms": 1,
    "precision": 0.6,
}
_RULES: dict[str, Any] = {
    "rules": [_RULE],
    "switched_off": [
        {"rule": "7f0d6a51-40d1-4d6e-9a4e-1c2b3a4d5e6f", "owner": "p.paragraph", "reason": "no roster yet"}
    ],
    "position": 17,
    "set_digest": _DIGEST,
    "fault": None,
    "fault_since": None,
    "as_of_position": 1044,
}
SUPPRESSION_EXAMPLE: dict[str, Any] = {
    "suppression_id": "0f7c1f9e-5a39-4c5e-9a53-0c5f6f0f1a01",
    "position": 1050,
    "rule_id": _RULE["rule_id"],
    "match": [{"name": "actor.id", "value": "migration"}],
    "owner": "p.paragraph",
    "owner_name": None,
    "started_at": "2026-03-01T10:00:00Z",
    "started_by": "p.paragraph",
    "reason": "The migration of the archive reads every record.",
    "expires_at": "2026-03-08T10:00:00Z",
    "ended_at": None,
    "ended_by": None,
    "end_reason": None,
    "active": True,
    "held_back": 4,
}
_EXPLAINED: dict[str, Any] = {
    "departments": [
        {
            "department": "surgery",
            "accesses": 1000,
            "explained": 930,
            "unexplained": 70,
            "share": 0.93,
            "by_rule": [{"rule_id": _RULE["rule_id"], "accesses": 930}],
        }
    ],
    "accesses": 1000,
    "explained": 930,
    "share": 0.93,
    "as_of_position": 1044,
}
_DAYS = timedelta(days=30)


class SuppressionList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of suppressions, the newest first."""

    suppressions: list[SuppressionView]
    as_of_position: int
    next: str | None


class ActivationList(msgspec.Struct, frozen=True, kw_only=True):
    """Decisions that a set of rules counts, the newest first."""

    activations: list[RuleActivation]


class SuppressionQuery(FreshnessQuery):
    """A page of suppressions."""

    active: Switch = Field(default=False, description="Only suppressions that hold alerts back now.")
    first: int | None = Field(default=None, ge=1, description="How many suppressions; 50 when absent.")
    after: str | None = Field(
        default=None, pattern=SUPPRESSION_CURSOR, description="Only suppressions after this cursor."
    )


class ExplainedQuery(FreshnessQuery):
    """A range of days (UTC), at most 366."""

    since: AwareDatetime | None = Field(
        default=None, description="Days that begin at this time or later; the last 30 days when absent."
    )
    until: AwareDatetime | None = Field(
        default=None, description="Days that begin before this time; until now when absent."
    )

    def range(self) -> tuple[datetime, datetime]:
        """The range, with its defaults."""
        until = self.until or datetime.now(UTC)
        return self.since or until - _DAYS, until


class ActivationQuery(BaseModel):
    """The length of the list."""

    model_config = ConfigDict(extra="forbid")

    first: int | None = Field(default=None, ge=1, description="How many decisions; 50 when absent.")


def detection_routes(
    access: Access, threads: Threads, waiting: FreshnessWaiter, limits: QueryLimits
) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/v1", tags=["detection"])

    @router.get(
        "/detection/rules",
        operation_id="listDetectionRules",
        summary="The rules that count now, and how right they are",
        responses={**answer(200, RuleList, _RULES), **problems(304, 400, 403, 409, 503)},
    )
    async def list_rules(request: Request, query: Annotated[FreshnessQuery, Query()]) -> Response:
        refuse_repeated(request)
        models = await access.models_of(request)
        models.require_cases("detection_rules")
        await waiting.until(query.freshness(), least_of([PROJECTION]), models=models)
        return found(request, await threads.run(models.detection_rules))

    @router.get(
        "/detection/rules/{id}",
        operation_id="getDetectionRule",
        summary="One rule with its text",
        responses={
            **answer(
                200,
                RuleText,
                {"rule": _RULE, "file": "mass_access.yaml", "text": "title: ...", "as_of_position": 1044},
            ),
            **problems(304, 400, 403, 404, 503, missing=NO_RULE),
        },
    )
    async def get_rule(request: Request, id: UUID) -> Response:
        models = await access.models_of(request)
        rule = await threads.run(models.detection_rule, str(id))
        return problem(404, NO_RULE) if rule is None else found(request, rule)

    @router.get(
        "/detection/activations",
        operation_id="listRuleActivations",
        summary="The decisions that a set of rules counts",
        responses={
            **answer(
                200,
                ActivationList,
                {
                    "activations": [
                        {
                            "event_id": "0193a2a5-7c1e-4b44-9a53-0c5f6f0f1a02",
                            "digest": _DIGEST,
                            "details": {"added": [_RULE["rule_id"]]},
                            "decided_at": "2026-02-01T00:00:00Z",
                            "published_at": "2026-02-01T00:00:00Z",
                        }
                    ]
                },
            ),
            **problems(304, 400, 403, 503),
        },
    )
    async def list_activations(request: Request, query: Annotated[ActivationQuery, Query()]) -> Response:
        refuse_repeated(request)
        first = page_size(query.first, limits.max_page)
        models = await access.models_of(request)
        return found(request, ActivationList(activations=await threads.run(models.rule_activations, first)))

    @router.get(
        "/detection/explained",
        operation_id="getExplainedAccesses",
        summary="The share of accesses that rules explain, by department",
        responses={**answer(200, ExplainedAccesses, _EXPLAINED), **problems(304, 400, 403, 409, 503)},
    )
    async def get_explained(request: Request, query: Annotated[ExplainedQuery, Query()]) -> Response:
        refuse_repeated(request)
        models = await access.models_of(request)
        models.require_cases("explained_accesses")
        await waiting.until(query.freshness(), least_of([PROJECTION]), models=models)
        return found(request, await threads.run(models.explained_accesses, *query.range()))

    @router.get(
        "/suppressions",
        operation_id="listSuppressions",
        summary="Suppressions, newest first",
        responses={
            **answer(
                200,
                SuppressionList,
                {"suppressions": [SUPPRESSION_EXAMPLE], "as_of_position": 1051, "next": None},
            ),
            **problems(304, 400, 403, 409, 503),
        },
    )
    async def list_suppressions(request: Request, query: Annotated[SuppressionQuery, Query()]) -> Response:
        refuse_repeated(request)
        first = page_size(query.first, limits.max_page)
        place = BEGIN if query.after is None else decode_place_cursor(query.after, "s")
        models = await access.models_of(request)
        models.require_cases("suppressions")
        await waiting.until(query.freshness(), least_of([PROJECTION]), models=models)
        page = await threads.run(models.suppressions, first, place, active=query.active)
        after = None if page.next is None else encode_place_cursor("s", page.next)
        listed = SuppressionList(
            suppressions=page.suppressions,
            as_of_position=page.as_of_position,
            next=None if after is None else page_link(request, after=after),
        )
        return found(request, listed, link_header(next=listed.next))

    return router
