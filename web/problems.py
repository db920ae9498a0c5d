"""Errors as RFC 9457 problem details."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from domain.errors import AuditTrailError, RejectedError, UnavailableError

MEDIA_TYPE = "application/problem+json"


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """RFC 9457. `errors` has one entry for each thing that is wrong."""

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


def install(app: FastAPI, retry_after: int) -> None:
    """Make every error of `app` a problem response."""

    async def http_error(_: Request, exc: Exception) -> Response:
        assert isinstance(exc, HTTPException)
        detail = exc.detail if exc.detail != HTTPStatus(exc.status_code).phrase else ""
        return problem(exc.status_code, detail, headers=exc.headers)

    async def invalid_request(_: Request, exc: Exception) -> Response:
        assert isinstance(exc, RequestValidationError)
        # The wrong value itself is not repeated: it may be a patient's id.
        errors = [
            {"field": ".".join(map(str, error["loc"][1:])), "message": error["msg"]} for error in exc.errors()
        ]
        return problem(400, "the request has parameters that are wrong or unknown", errors=errors)

    async def refused(_: Request, exc: Exception) -> Response:
        assert isinstance(exc, RejectedError)
        return problem(400, exc.message, errors=[{"field": exc.field, "message": exc.message}])

    async def away(_: Request, __: Exception) -> Response:
        return problem(
            503,
            "a service that is needed for this is away; try again",
            headers={"Retry-After": str(retry_after)},
        )

    async def unexpected(_: Request, __: Exception) -> Response:
        return problem(500, "an unexpected error; it is in the server's log")

    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(RequestValidationError, invalid_request)
    app.add_exception_handler(RejectedError, refused)
    app.add_exception_handler(UnavailableError, away)
    app.add_exception_handler(AuditTrailError, unexpected)
    app.add_exception_handler(Exception, unexpected)
