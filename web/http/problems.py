"""Errors as RFC 9457 problem details."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.errors import (
    AccessDeniedError,
    AuditTrailError,
    ConflictError,
    EventAlteredError,
    Reason,
    RejectedError,
    TooSlowError,
    UnavailableError,
    UnwitnessedError,
    origin,
)
from queries.cursors import NOT_A_CURSOR
from queries.error_codes import TOO_SLOW, Code
from queries.freshness import BehindError

log = structlog.get_logger(__name__)

WITHOUT_HEAD = frozenset({"/graphql", "/v1/export"})
"""Paths without HEAD: a query is no resource, and an export would be made in vain."""
UNEXPECTED = "an unexpected error; it is in the server's log"
_TIME = "write the time as RFC 3339 does, with its offset; in an address, + is written %2B"
MEDIA_TYPE = "application/problem+json"


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A problem (RFC 9457). `errors` has one entry for each error."""

    title: str
    status: int
    detail: str = ""
    type: str = "about:blank"
    errors: Sequence[Mapping[str, Any]] = ()


def problem(
    status: int,
    detail: str,
    *,
    errors: Sequence[Mapping[str, Any]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A problem response. `detail` says what the client should change."""
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, errors=errors)
    return Response(msgspec.json.encode(body), status, dict(headers or {}), MEDIA_TYPE)


def refusal(
    scope: Scope, status: int, code: Code, message: str, headers: Mapping[str, str] | None = None
) -> Response:
    """A problem, or for a client of GraphQL an answer with errors."""
    if scope["path"] != "/graphql":
        return problem(status, message, headers=headers)
    wanted = "application/graphql-response+json"
    media = wanted if wanted in Headers(scope=scope).get("accept", "") else "application/json"
    body = msgspec.json.encode({"errors": [{"message": message, "extensions": {"code": code.value}}]})
    return Response(body, status, dict(headers or {}), media)


def install(app: FastAPI, retry_after: int) -> None:
    """Make every error of `app` a problem response."""

    async def http_error(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, HTTPException)
        detail = exc.detail if exc.detail != HTTPStatus(exc.status_code).phrase else ""
        headers = dict(exc.headers or {})
        if exc.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            # Files are mounted, and a mount has no methods.
            allowed = _methods(request.app.routes, request.scope) or {"GET"}
            if "GET" in allowed and request.url.path not in WITHOUT_HEAD:
                allowed.add("HEAD")
            headers["Allow"] = ", ".join(sorted(allowed))
        return problem(exc.status_code, detail, headers=headers)

    async def invalid_request(_: Request, exc: Exception) -> Response:
        assert isinstance(exc, RequestValidationError)
        # The wrong value is not repeated: it may be a patient's id.
        # Nor is the index in a repeated parameter: its name is enough.
        errors = [
            {
                "field": ".".join(str(part) for part in error["loc"][1:] if not isinstance(part, int)),
                "message": message_of(error),
            }
            for error in exc.errors()
        ]
        return problem(400, "the request has invalid or unknown parameters", errors=errors)

    async def refused(_: Request, exc: Exception) -> Response:
        assert isinstance(exc, RejectedError)
        if isinstance(exc, BehindError):
            fields = {"field": exc.field, "message": exc.message, "as_of_position": exc.as_of_position}
            return problem(409, "the answer is not complete up to that position yet", errors=[fields])
        oversized = exc.reason is Reason.OVERSIZED
        status = 409 if isinstance(exc, ConflictError) else 413 if oversized else 400
        return problem(status, exc.message, errors=[{"field": exc.field, "message": exc.message}])

    async def denied(_: Request, exc: Exception) -> Response:
        return problem(403, str(exc))

    async def away(_: Request, exc: Exception) -> Response:
        slow = isinstance(exc, TooSlowError)
        said = str(exc) if isinstance(exc, UnwitnessedError) else "a required service is away; try again"
        return problem(
            503,
            TOO_SLOW if slow else said,
            headers={"Retry-After": str(retry_after)},
        )

    async def altered(_: Request, exc: Exception) -> Response:
        assert isinstance(exc, EventAlteredError)
        log.error("event_altered", position=exc.position)
        return problem(500, str(exc))

    async def stopped(_: Request, exc: Exception) -> Response:
        log.error("request_failed", reason=str(exc), **origin(exc))
        return problem(500, UNEXPECTED)

    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(RequestValidationError, invalid_request)
    app.add_exception_handler(RejectedError, refused)
    app.add_exception_handler(AccessDeniedError, denied)
    app.add_exception_handler(UnavailableError, away)
    app.add_exception_handler(EventAlteredError, altered)
    app.add_exception_handler(AuditTrailError, stopped)


def _methods(routes: Iterable[BaseRoute], scope: Scope) -> set[str]:
    """The methods of a path, which can have several routes."""
    found: set[str] = set()
    for route in routes:
        if route.matches(scope)[0] is not Match.NONE:
            inner = getattr(route, "original_router", None)  # a router that FastAPI has included
            found |= set(getattr(route, "methods", None) or ()) | _methods(
                inner.routes if inner else (), scope
            )
    return found


class LastResort:
    """ASGI middleware for unexpected errors: the client gets a general problem, and the log the place of the error.

    The server's own handler would log the exception's text, which can quote patient data.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; answer 500 if it fails before the answer has started."""
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as exc:  # noqa: BLE001 - the top level of a request
            log.error("request_failed", **origin(exc))  # noqa: TRY400 - a traceback repeats the exception's text
            if scope["type"] == "http" and not begun:
                await problem(500, UNEXPECTED)(scope, receive, send)


_MESSAGES = {
    "extra_forbidden": "there is no such parameter",
    "string_pattern_mismatch": "not of the form that /openapi.json describes",
    "datetime_from_date_parsing": _TIME,
    "datetime_parsing": _TIME,
    "datetime_type": _TIME,
    "timezone_aware": _TIME,
}


def message_of(error: Mapping[str, Any]) -> str:
    """The text for one of pydantic's errors: our own message, or the library's if it says what to do."""
    if error["type"] == "string_pattern_mismatch" and error["loc"][-1] in {"after", "before"}:
        return NOT_A_CURSOR
    if error["type"] == "literal_error":
        return f"give {error['ctx']['expected']}"
    message: str = _MESSAGES.get(error["type"], error["msg"])
    return message.removeprefix("Value error, ")
