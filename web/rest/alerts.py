"""`GET /v1/alerts`: what rules have found."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import AwareDatetime, Field
from starlette.responses import Response

from domain.alert_level import Level
from domain.event import RecordedEvent
from queries.cursors import decode_place_cursor, encode_place_cursor
from queries.detection.read_models import PROJECTION
from queries.detection.results import BEGIN, AlertFilter, AlertKind, AlertView, Handling
from queries.freshness import FreshnessWaiter, least_of
from queries.limits import QueryLimits
from queries.thread_pool import Threads
from web.access import Access
from web.http.problems import problem
from web.openapi.bodies import EVENT_EXAMPLE, answer, problems
from web.parameters.filter_query import refuse_repeated
from web.parameters.freshness import FreshnessQuery, Switch, found, link_header
from web.parameters.schemas import ALERT_CURSOR, NO_NUL
from web.rest.pages import page_link, page_size

NO_ALERT = "no alert that you may see has this id"
ALERT_EXAMPLE: dict[str, Any] = {
    "alert_id": "9d3f2c1e-5b7a-5c1d-8e2f-0a1b2c3d4e5f",
    "position": 1042,
    "raised_at": "2026-03-01T08:15:30.154Z",
    "rule_id": "b7f7a6a2-4f0e-4a58-9c36-6f3a2d5f0a11",
    "rule_digest": "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9",
    "title": "Mass access to patients",
    "level": "high",
    "kind": "match",
    "group": [{"name": "actor.id", "value": "Practitioner/17"}],
    "actor": "Practitioner/17",
    "events": 41,
    "final": True,
    "begins": "2026-03-01T07:50:00Z",
    "ends": "2026-03-01T08:15:30.120Z",
    "positions": [1001, 1042],
    "reasons": ["41 values of patients.id, such as 17, 18, 19, within 1:00:00, of: Patient read"],
    "case_id": "4b0f4a0e-7f3c-5d6f-9a53-0c5f6f0f1a01",
    "case_state": "open_case",
    "verdict": None,
    "suppressed_by": None,
}


class AlertList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of alerts, the newest first. It may be short, even empty, and not be the last: follow `next`."""

    alerts: list[AlertView]
    as_of_position: int
    next: str | None


class AlertEvents(msgspec.Struct, frozen=True, kw_only=True):
    """The first 100 events of an alert's evidence, in the order of the log."""

    events: list[RecordedEvent]


_Text = Annotated[str, Field(min_length=1, max_length=256, pattern=NO_NUL)]

_Level = Literal["informational", "low", "medium", "high", "critical"]


class AlertQuery(FreshnessQuery):
    """Conditions on alerts, and a page."""

    level: _Level | None = Field(default=None, description="Alerts of this level and above.")
    rule: UUID | None = Field(default=None, description="Alerts of the rule with this id.")
    actor: _Text | None = Field(default=None, description="Alerts about this person or service.")
    case: UUID | None = Field(default=None, description="Alerts in this case.")
    handling: Literal["no_case", "open_case", "decided_case"] | None = Field(
        default=None, description="Alerts in no case, in an open case, or in a decided one."
    )
    suppressed: Switch | None = Field(default=None, description="Whether a suppression holds the alert back.")
    kind: Literal["match", "overflow", "late"] | None = Field(
        default=None, description="A match, or a limit of the rule that was met (overflow, late)."
    )
    since: AwareDatetime | None = Field(default=None, description="Raised at this time or later.")
    until: AwareDatetime | None = Field(default=None, description="Raised before this time.")
    first: int | None = Field(default=None, ge=1, description="How many alerts; 50 when absent.")
    after: str | None = Field(
        default=None, pattern=ALERT_CURSOR, description="Only alerts after this cursor."
    )

    def filter(self) -> AlertFilter:
        """The conditions."""
        return AlertFilter(
            level=None if self.level is None else Level(self.level),
            rule_id=None if self.rule is None else str(self.rule),
            actor=self.actor,
            case_id=None if self.case is None else str(self.case),
            handling=None if self.handling is None else Handling(self.handling),
            suppressed=self.suppressed,
            kind=None if self.kind is None else AlertKind(self.kind),
            since=self.since,
            until=self.until,
        )


def alert_routes(
    access: Access, threads: Threads, waiting: FreshnessWaiter, limits: QueryLimits
) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/v1/alerts", tags=["detection"])

    @router.get(
        "",
        operation_id="listAlerts",
        summary="Alerts, newest first",
        responses={
            **answer(200, AlertList, {"alerts": [ALERT_EXAMPLE], "as_of_position": 1044, "next": None}),
            **problems(304, 400, 403, 409, 503),
        },
    )
    async def list_alerts(request: Request, query: Annotated[AlertQuery, Query()]) -> Response:
        refuse_repeated(request)
        first = page_size(query.first, limits.max_page)
        place = BEGIN if query.after is None else decode_place_cursor(query.after, "a")
        models = await access.models_of(request)
        models.require_cases("alerts")
        await waiting.until(query.freshness(), least_of([PROJECTION]), models=models)
        page = await threads.run(models.alerts, query.filter(), first, place)
        query.freshness().compare(page.as_of_position)
        after = None if page.next is None else encode_place_cursor("a", page.next)
        listed = AlertList(
            alerts=page.alerts,
            as_of_position=page.as_of_position,
            next=None if after is None else page_link(request, after=after),
        )
        return found(request, listed, link_header(next=listed.next))

    @router.get(
        "/{id}",
        operation_id="getAlert",
        summary="One alert",
        responses={
            **answer(200, AlertView, ALERT_EXAMPLE),
            **problems(304, 400, 403, 404, 503, missing=NO_ALERT),
        },
    )
    async def get_alert(request: Request, id: UUID) -> Response:
        models = await access.models_of(request)
        alert = await threads.run(models.alert, str(id))
        return problem(404, NO_ALERT) if alert is None else found(request, alert)

    @router.get(
        "/{id}/events",
        operation_id="listAlertEvents",
        summary="The evidence of an alert",
        responses={
            **answer(200, AlertEvents, {"events": [EVENT_EXAMPLE]}),
            **problems(304, 400, 403, 404, 503, missing=NO_ALERT),
        },
    )
    async def list_alert_events(request: Request, id: UUID) -> Response:
        models = await access.models_of(request)
        events = await threads.run(models.alert_events, str(id))
        return problem(404, NO_ALERT) if events is None else found(request, AlertEvents(events=events))

    return router
