"""Commands about cases and suppressions: `POST /v1/cases`, `/v1/cases/{id}/...` and `/v1/suppressions`.

`serve` stores a command, and `ingest` carries it out. The answer waits some seconds for its outcome; 202 names the
address at which the outcome can be asked for later.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any, NamedTuple
from uuid import UUID, uuid5

import msgspec
from fastapi import APIRouter, Header, Request
from starlette.responses import Response

from domain.access.principal import Principal
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
    kind_of,
)
from domain.errors import AccessDeniedError, InvalidEventError, Reason, UnavailableError
from domain.json_parsing import decode_json
from event_store.case_commands import CommandState, Result
from queries.case_commands import CaseCommands, require_done
from queries.thread_pool import Threads
from web.access import Access, query_log_of
from web.authentication.middleware import principal_of
from web.http.path_prefix import public
from web.http.problems import problem
from web.openapi.bodies import answer, problems
from web.openapi.commands import command_schema
from web.parameters.freshness import found
from web.read_audit.access_record import access_record_of

_SECONDS = 5.0
"""How long an answer waits for the outcome."""
_NO_COMMAND = "you gave no command with this id"
_TARGET = "target"
"""The field of an outcome that says that nothing, or something else, has the id of the case or suppression."""
_COMMAND: dict[str, Any] = {
    "id": "0193a2a5-7c1e-4b44-9a53-0c5f6f0f1a03",
    "target": "4b0f4a0e-7f3c-5d6f-9a53-0c5f6f0f1a01",
    "kind": "decide",
    "state": "done",
    "position": 1060,
    "error": None,
    "field": None,
    "requested_at": "2026-03-01T11:00:00Z",
}
_PERSON = {"id": "Practitioner/17", "name": "Dr. Ada Example"}
_REASON = {"reason": "The roster of that night was wrong."}

IdempotencyKey = Annotated[
    UUID,
    Header(
        alias="Idempotency-Key",
        description="A UUID that you choose. The same command with the same key is carried out once.",
    ),
]


class CommandStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A command about a case or suppression `target`, and what became of it.

    `state`: waiting, done, refused (the state of the case does not allow it), denied or failed. `position` is that of
    the event: ask with `wait_for_position` for an answer that includes it.
    """

    id: UUID
    target: UUID
    kind: str
    state: str
    position: int | None
    error: str | None
    field: str | None
    requested_at: datetime


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


def case_command_routes(commands: CaseCommands | None, access: Access, threads: Threads) -> APIRouter:
    """The routes. Without `commands` they answer 503."""
    router = APIRouter(prefix="/v1", tags=["detection"])
    giver = _Giver(commands, access, threads)
    for each in _ROUTES:
        made = 201 if each.creates else 200
        router.add_api_route(
            each.path,
            _endpoint(giver, each),
            methods=["POST"],
            operation_id=each.operation_id,
            summary=each.summary,
            status_code=made,
            responses={
                **answer(made, CommandStatus, _COMMAND | {"kind": _tag(each.kind)}),
                **answer(202, CommandStatus, _COMMAND | {"state": "waiting", "position": None}),
                **problems(400, 403, 408, 409, 413, 415, 503),
                **({} if each.creates else problems(404, missing="there is nothing with this id")),
            },
            openapi_extra={
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {"schema": command_schema(each.kind), "example": each.example}
                    },
                }
            },
        )

    @router.get(
        "/case-commands/{id}",
        operation_id="getCaseCommand",
        summary="What became of a command of yours",
        responses={
            **answer(200, CommandStatus, _COMMAND),
            **problems(304, 400, 403, 404, 503, missing=_NO_COMMAND),
        },
    )
    async def get_command(request: Request, id: UUID) -> Response:
        state = await threads.run(giver.required().own, _principal(request), id)
        return problem(404, _NO_COMMAND) if state is None else found(request, _status(id, state))

    return router


def _endpoint(giver: _Giver, route: _Route) -> Callable[..., Awaitable[Response]]:
    if route.creates:

        async def create(request: Request, key: IdempotencyKey) -> Response:
            # The same key names the same case or suppression, also when the command is sent again.
            return await giver.give(request, route, key, uuid5(key, _TARGET))

        return create

    async def change(request: Request, id: UUID, key: IdempotencyKey) -> Response:
        return await giver.give(request, route, key, id)

    return change


class _Giver:
    """Gives the commands of requests."""

    def __init__(self, commands: CaseCommands | None, access: Access, threads: Threads) -> None:
        self._commands = commands
        self._access = access
        self._threads = threads

    def required(self) -> CaseCommands:
        if self._commands is None:
            raise UnavailableError("commands about cases are not taken here")
        return self._commands

    async def give(self, request: Request, route: _Route, key: UUID, target: UUID) -> Response:
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media != "application/json":
            return problem(415, "send the command as application/json")
        principal, commands = _principal(request), self.required()
        body = _body(route.kind, await request.body())
        query_log = query_log_of(access_record_of(request))
        asked = {"command": kind_of(body), "target": str(target)}
        with query_log.record_denial("case_command", lambda: (asked, ())):
            await self._threads.run(commands.give, principal, key, target, body)
            outcome = await commands.outcome_within(_SECONDS, key, self._threads)
            state = await self._threads.run(commands.own, principal, key)
            if state is None:
                raise UnavailableError(
                    "the command was stored, and can't be read yet: ask for its outcome later"
                )
            if outcome is None:
                return _answer(request, 202, _status(key, state), f"/v1/case-commands/{key}")
            if outcome.result is Result.REFUSED and outcome.field == _TARGET and not route.creates:
                return problem(404, outcome.error or "")
            require_done(outcome)
        created = f"/v1/cases/{target}" if isinstance(body, OpenCase) else None
        return _answer(request, 201 if route.creates else 200, _status(key, state), created)


def _answer(request: Request, status: int, said: CommandStatus, location: str | None) -> Response:
    headers = {} if location is None else {"Location": public(request, location)}
    return Response(msgspec.json.encode(said), status, headers, "application/json")


def _status(id: UUID, state: CommandState) -> CommandStatus:
    outcome = state.outcome
    return CommandStatus(
        id=id,
        target=state.target,
        kind=state.kind,
        state="waiting" if outcome is None else outcome.result.value,
        position=None if outcome is None else outcome.position,
        error=None if outcome is None else outcome.error,
        field=None if outcome is None else outcome.field,
        requested_at=state.requested_at,
    )


def _principal(request: Request) -> Principal:
    principal = principal_of(request.scope)
    if principal is None:
        raise AccessDeniedError
    return principal


def _body(kind: type[Body], text: bytes) -> Body:
    """The command in a request's body, whose kind the path says. Raises `InvalidEventError` that names the field."""
    try:
        given = decode_json(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
        raise InvalidEventError(Reason.INVALID_JSON, "the body is not JSON") from exc
    if not isinstance(given, dict):
        raise InvalidEventError(Reason.INVALID_FIELD, "send a JSON object")
    if "kind" in given:
        raise InvalidEventError(Reason.UNKNOWN_FIELD, "the path says the kind", field="kind")
    return decode_body(msgspec.json.encode(given | {"kind": _tag(kind)}))


def _tag(kind: type[Body]) -> str:
    return str(kind.__struct_config__.tag)
