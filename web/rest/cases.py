"""`GET /v1/cases`: what people look into, and the open questions to whoever asks."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from domain.alert_level import Level
from queries.cursors import decode_place_cursor, encode_place_cursor
from queries.detection.read_models import PROJECTION
from queries.detection.results import BEGIN, CaseDetail, CaseFilter, CaseState, CaseView, QuestionView
from queries.freshness import MAX_POSITION, FreshnessWaiter, least_of
from queries.limits import QueryLimits
from queries.thread_pool import Threads
from web.access import Access
from web.http.problems import problem
from web.openapi.bodies import answer, problems
from web.parameters.filter_query import refuse_repeated
from web.parameters.freshness import FreshnessQuery, Switch, found, link_header
from web.parameters.schemas import CASE_CURSOR, NO_NUL
from web.rest.alerts import ALERT_EXAMPLE
from web.rest.pages import page_link, page_size

NO_CASE = "no case that you may see has this id"
_OPEN: dict[str, Any] = {
    "case_id": "4b0f4a0e-7f3c-5d6f-9a53-0c5f6f0f1a01",
    "opened_position": 1043,
    "opened_at": "2026-03-01T08:15:31Z",
    "opened_by": "audit-trail",
    "actor": "Practitioner/17",
    "title": "Mass access to patients",
    "level": "high",
    "reason": "",
    "earlier_case": None,
    "state": "open",
    "verdict": None,
    "decided_at": None,
    "decided_by": None,
    "decision_reason": None,
    "decision_seconds": None,
    "assignee": "p.paragraph",
    "assignee_name": "Paula Paragraph",
    "asked": None,
    "question": None,
    "alerts": 1,
    "newest_alert_at": "2026-03-01T08:15:30.154Z",
    "entries": 1,
    "position": 1043,
    "changed_at": "2026-03-01T08:15:31Z",
}
_ENTRY: dict[str, Any] = {
    "position": 1043,
    "at": "2026-03-01T08:15:31Z",
    "recorded_at": "2026-03-01T08:15:31Z",
    "kind": "case.opened",
    "by_kind": "service",
    "by_id": "audit-trail",
    "by_name": None,
    "text": None,
    "person": None,
    "person_name": None,
    "verdict": None,
    "seconds": None,
    "alert_id": ALERT_EXAMPLE["alert_id"],
}
_DETAIL: dict[str, Any] = {
    "case": _OPEN,
    "history": [_ENTRY],
    "newest_alerts": [ALERT_EXAMPLE],
    "as_of_position": 1044,
    "next_entry": None,
}


class CaseList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of cases, the newest first. It may be short, even empty, and not be the last: follow `next`."""

    cases: list[CaseView]
    as_of_position: int
    next: str | None


class QuestionList(msgspec.Struct, frozen=True, kw_only=True):
    """The open questions to the principal, the oldest first."""

    questions: list[QuestionView]


_Text = Annotated[str, Field(min_length=1, max_length=256, pattern=NO_NUL)]


class CaseQuery(FreshnessQuery):
    """Conditions on cases, and a page."""

    state: Literal["open", "decided"] | None = Field(default=None, description="Open cases, or decided ones.")
    assignee: _Text | None = Field(default=None, description="Cases that this person works on.")
    actor: _Text | None = Field(default=None, description="Cases about this person or service.")
    level: Literal["informational", "low", "medium", "high", "critical"] | None = Field(
        default=None, description="Cases of this level and above."
    )
    asked: Switch | None = Field(default=None, description="Whether a question to an employee is open.")
    first: int | None = Field(default=None, ge=1, description="How many cases; 50 when absent.")
    after: str | None = Field(default=None, pattern=CASE_CURSOR, description="Only cases after this cursor.")

    def filter(self) -> CaseFilter:
        """The conditions."""
        return CaseFilter(
            state=None if self.state is None else CaseState(self.state),
            assignee=self.assignee,
            actor=self.actor,
            asked=self.asked,
            level=None if self.level is None else Level(self.level),
        )


class CaseEntryQuery(FreshnessQuery):
    """A page of a case's entries."""

    first: int | None = Field(
        default=None, ge=1, description="How many entries, and how many alerts; 50 when absent."
    )
    after_position: int = Field(
        default=-1, ge=-1, le=MAX_POSITION, description="Only entries after this position."
    )


def case_routes(access: Access, threads: Threads, waiting: FreshnessWaiter, limits: QueryLimits) -> APIRouter:
    """The routes that read."""
    router = APIRouter(prefix="/v1", tags=["detection"])

    @router.get(
        "/cases",
        operation_id="listCases",
        summary="Cases, newest first",
        responses={
            **answer(200, CaseList, {"cases": [_OPEN], "as_of_position": 1044, "next": None}),
            **problems(304, 400, 403, 409, 503),
        },
    )
    async def list_cases(request: Request, query: Annotated[CaseQuery, Query()]) -> Response:
        refuse_repeated(request)
        first = page_size(query.first, limits.max_page)
        place = BEGIN if query.after is None else decode_place_cursor(query.after, "k")
        models = await access.models_of(request)
        models.require_cases("cases")
        await waiting.until(query.freshness(), least_of([PROJECTION]), models=models)
        page = await threads.run(models.cases, query.filter(), first, place)
        query.freshness().compare(page.as_of_position)
        after = None if page.next is None else encode_place_cursor("k", page.next)
        listed = CaseList(
            cases=page.cases,
            as_of_position=page.as_of_position,
            next=None if after is None else page_link(request, after=after),
        )
        return found(request, listed, link_header(next=listed.next))

    @router.get(
        "/cases/{id}",
        operation_id="getCase",
        summary="One case with its entries and alerts",
        responses={
            **answer(200, CaseDetail, _DETAIL),
            **problems(304, 400, 403, 404, 409, 503, missing=NO_CASE),
        },
    )
    async def get_case(request: Request, id: UUID, query: Annotated[CaseEntryQuery, Query()]) -> Response:
        refuse_repeated(request)
        first = page_size(query.first, limits.max_page)
        models = await access.models_of(request)
        models.require_cases("case", id=str(id))
        await waiting.until(query.freshness(), least_of([PROJECTION]), models=models)
        detail = await threads.run(models.case, str(id), first, query.after_position)
        return problem(404, NO_CASE) if detail is None else found(request, detail)

    @router.get(
        "/own-questions",
        operation_id="listOwnQuestions",
        summary="The open questions to you",
        responses={
            **answer(
                200,
                QuestionList,
                {
                    "questions": [
                        {
                            "case_id": _OPEN["case_id"],
                            "question": "Why did you open these records?",
                            "asked_at": "2026-03-01T09:00:00Z",
                        }
                    ]
                },
            ),
            **problems(304, 400, 403, 503),
        },
    )
    async def list_own_questions(request: Request) -> Response:
        models = await access.models_of(request)
        return found(request, QuestionList(questions=await threads.run(models.own_questions)))

    return router
