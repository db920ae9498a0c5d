"""Commands over REST: `serve` stores a command, and `ingest` carries it out.

The answer waits some seconds for the outcome; 202 names the address at which the outcome can be asked for later.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, NamedTuple
from uuid import UUID, uuid5

import msgspec
from fastapi import Header, Request
from starlette.responses import Response

from domain.access.principal import Principal
from domain.cases.commands import CommandBody, kind_of
from domain.errors import AccessDeniedError, InvalidEventError, Reason, UnavailableError
from domain.json_parsing import decode_json
from event_store.case_commands import CommandState, Result
from queries.case_commands import CaseCommands, require_done
from queries.thread_pool import Threads
from web.access import query_log_of
from web.authentication.middleware import principal_of
from web.http.path_prefix import public
from web.http.problems import problem
from web.openapi.bodies import Responses, answer, problems
from web.read_audit.access_record import access_record_of

SECONDS = 5.0
"""How long an answer waits for the outcome."""
_TARGET = "target"
"""The field of an outcome that says that nothing, or something else, has the id of what the command is about."""
COMMAND_EXAMPLE: dict[str, Any] = {
    "id": "0193a2a5-7c1e-4b44-9a53-0c5f6f0f1a03",
    "target": "4b0f4a0e-7f3c-5d6f-9a53-0c5f6f0f1a01",
    "kind": "decide",
    "state": "done",
    "position": 1060,
    "error": None,
    "field": None,
    "requested_at": "2026-03-01T11:00:00Z",
}

IdempotencyKey = Annotated[
    UUID,
    Header(
        alias="Idempotency-Key",
        description="A UUID that you choose. The same command with the same key is carried out once.",
    ),
]
Give = Callable[[Principal, UUID, UUID, Any], None]
"""Stores a command: `CaseCommands.give`, or another method of it."""


class CommandStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A command about a case, suppression or review `target`, and what became of it.

    `state`: waiting, done, refused (the state of the target does not allow it), denied or failed. `position` is that of
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


class Given(NamedTuple):
    """A command of a request. `creates`: it makes its target, whose address is `location` if it has one."""

    key: UUID
    target: UUID
    body: CommandBody
    creates: bool = False
    location: str | None = None


class Commands:
    """Gives the commands of requests. Without `commands`, requests are answered with 503."""

    def __init__(self, commands: CaseCommands | None, threads: Threads) -> None:
        self._commands = commands
        self._threads = threads

    def required(self) -> CaseCommands:
        """What stores commands. Raises `UnavailableError`."""
        if self._commands is None:
            raise UnavailableError("commands are not taken here")
        return self._commands

    async def state(self, request: Request, id: UUID) -> CommandStatus | None:
        """What became of a command of the principal."""
        state = await self._threads.run(self.required().own, _principal(request), id)
        return None if state is None else _status(id, state)

    async def give(self, request: Request, query: str, give: Give, given: Given) -> Response:
        """Give a command by `give`, and wait for its outcome. `query` names what a denied principal asked."""
        principal, commands = _principal(request), self.required()
        key, target = given.key, given.target
        query_log = query_log_of(access_record_of(request))
        asked = {"command": kind_of(given.body), "target": str(target)}
        with query_log.record_denial(query, lambda: (asked, ())):
            await self._threads.run(give, principal, key, target, given.body)
            outcome = await commands.outcome_within(SECONDS, key, self._threads)
            state = await self._threads.run(commands.own, principal, key)
            if state is None:
                raise UnavailableError(
                    "the command was stored, and can't be read yet: ask for its outcome later"
                )
            if outcome is None:
                return _answer(request, 202, _status(key, state), f"/v1/case-commands/{key}")
            if outcome.result is Result.REFUSED and outcome.field == _TARGET and not given.creates:
                return problem(404, outcome.error or "")
            require_done(outcome)
        return _answer(request, 201 if given.creates else 200, _status(key, state), given.location)


def made_by(key: UUID) -> UUID:
    """The id of what a command makes: the same one when the command is sent again."""
    return uuid5(key, _TARGET)


def command_text(text: bytes, **from_path: Any) -> bytes:
    """The command in a request's body, with the fields that the path says. Raises `InvalidEventError`."""
    try:
        given = decode_json(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
        raise InvalidEventError(Reason.INVALID_JSON, "the body is not JSON") from exc
    if not isinstance(given, dict):
        raise InvalidEventError(Reason.INVALID_FIELD, "send a JSON object")
    for name in from_path:
        if name in given:
            raise InvalidEventError(Reason.UNKNOWN_FIELD, f"the path says the {name}", field=name)
    return msgspec.json.encode(given | from_path)


def refuse_other_media(request: Request) -> Response | None:
    """The answer to a request whose body is no JSON; None if it is."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return None if media == "application/json" else problem(415, "send the command as application/json")


def responses_of(made: int, kind: str, *, creates: bool, missing: str) -> Responses:
    """The documentation of the answers to a command. `missing` is the detail of a 404."""
    return {
        **answer(made, CommandStatus, COMMAND_EXAMPLE | {"kind": kind}),
        **answer(202, CommandStatus, COMMAND_EXAMPLE | {"state": "waiting", "position": None}),
        **problems(400, 403, 408, 409, 413, 415, 503),
        **({} if creates else problems(404, missing=missing)),
    }


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
