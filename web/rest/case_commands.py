"""Commands about cases and suppressions: `POST /v1/cases`, `/v1/cases/{id}/...` and `/v1/suppressions`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from domain.cases.commands import (
    AnswerQuestion,
    AskEmployee,
    Assign,
    Body,
    Comment,
    Decide,
    EndSuppression,
    OpenCase,
    Reopen,
    Suppress,
    decode_body,
    tag_of,
)
from web.http.problems import problem
from web.openapi.bodies import answer, problems
from web.openapi.commands import request_body
from web.parameters.freshness import found
from web.rest.commands import (
    COMMAND_EXAMPLE,
    Commands,
    CommandStatus,
    Given,
    IdempotencyKey,
    command_text,
    made_by,
    refuse_other_media,
    responses_of,
)

_NO_COMMAND = "you gave no command with this id"
_NOTHING = "there is nothing with this id"
_PERSON = {"id": "Practitioner/17", "name": "Dr. Ada Example"}
_REASON = {"reason": "The roster of that night was wrong."}


class _Route(NamedTuple):
    """A command's path, kind, names in the document, and an example of its body. `creates`: it makes its target."""

    path: str
    kind: type[Body]
    operation_id: str
    summary: str
    example: dict[str, Any]
    creates: bool = False


_ROUTES = (
    _Route(
        "/cases",
        OpenCase,
        "openCase",
        "Open a case by hand",
        {"actor": "Practitioner/17", "title": "A complaint", "level": "low", "reason": "A patient called."},
        creates=True,
    ),
    _Route(
        "/cases/{id}/assign",
        Assign,
        "assignCase",
        "Say who works on a case",
        {"assignee": {"id": "p.paragraph"}},
    ),
    _Route("/cases/{id}/comment", Comment, "commentCase", "Comment a case", {"text": "The roster says so."}),
    _Route(
        "/cases/{id}/ask",
        AskEmployee,
        "askEmployee",
        "Ask an employee",
        {"employee": _PERSON, "question": "Why did you open these records?"},
    ),
    _Route(
        "/cases/{id}/answer",
        AnswerQuestion,
        "answerQuestion",
        "Answer the open question to you",
        {"answer": "I was on call for the ward."},
    ),
    _Route(
        "/cases/{id}/decide",
        Decide,
        "decideCase",
        "Decide a case",
        {"verdict": "justified", "reason": "On call that night.", "seconds": 420},
    ),
    _Route("/cases/{id}/reopen", Reopen, "reopenCase", "Open a decided case again", _REASON),
    _Route(
        "/suppressions",
        Suppress,
        "suppressAlerts",
        "Hold back the alerts of a rule for a time",
        {
            "rule_id": "b7f7a6a2-4f0e-4a58-9c36-6f3a2d5f0a11",
            "owner": {"id": "p.paragraph"},
            "reason": "The migration of the archive reads every record.",
            "expires_at": "2099-03-08T10:00:00Z",
            "match": {"actor.id": "migration"},
        },
        creates=True,
    ),
    _Route(
        "/suppressions/{id}/end",
        EndSuppression,
        "endSuppression",
        "End a suppression",
        {"reason": "It is over."},
    ),
)


def case_command_routes(commands: Commands) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/v1", tags=["detection"])
    for each in _ROUTES:
        made = 201 if each.creates else 200
        router.add_api_route(
            each.path,
            _endpoint(commands, each),
            methods=["POST"],
            operation_id=each.operation_id,
            summary=each.summary,
            status_code=made,
            responses=responses_of(made, tag_of(each.kind), creates=each.creates, missing=_NOTHING),
            openapi_extra=request_body(each.kind, each.example),
        )

    @router.get(
        "/case-commands/{id}",
        operation_id="getCaseCommand",
        summary="What became of a command of yours",
        responses={
            **answer(200, CommandStatus, COMMAND_EXAMPLE),
            **problems(304, 400, 403, 404, 503, missing=_NO_COMMAND),
        },
    )
    async def get_command(request: Request, id: UUID) -> Response:
        state = await commands.state(request, id)
        return problem(404, _NO_COMMAND) if state is None else found(request, state)

    return router


def _endpoint(commands: Commands, route: _Route) -> Callable[..., Awaitable[Response]]:
    async def give(request: Request, key: UUID, target: UUID) -> Response:
        refused = refuse_other_media(request)
        if refused is not None:
            return refused
        body = decode_body(command_text(await request.body(), kind=tag_of(route.kind)))
        location = f"/v1/cases/{target}" if route.kind is OpenCase else None
        given = Given(key, target, body, route.creates, location)
        return await commands.give(request, "case_command", commands.required().give, given)

    if route.creates:

        async def create(request: Request, key: IdempotencyKey) -> Response:
            return await give(request, key, made_by(key))

        return create

    async def change(request: Request, id: UUID, key: IdempotencyKey) -> Response:
        return await give(request, key, id)

    return change
