"""The correlation id of a request, in its access record and in every log line that is written for it."""

from __future__ import annotations

import re
from uuid import uuid4

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from event_store import tracing

_STATE = "correlation_id"
_GIVEN = re.compile(r"[!-~]{1,128}")
"""A client's own id of its request, if it is valid."""


class Correlation:
    """ASGI middleware: gives each request its id, and the log lines of the request too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        found = correlation_id(Headers(scope=scope))
        scope.setdefault("state", {})[_STATE] = found
        with structlog.contextvars.bound_contextvars(correlation_id=found):
            await self._app(scope, receive, send)


def correlation_id(headers: Headers) -> str:
    """`X-Request-Id`, or else the id of the trace in `traceparent`, or else a new one."""
    given = headers.get("x-request-id", "")
    if _GIVEN.fullmatch(given):
        return given
    trace = tracing.parse(headers.get("traceparent", ""))
    return str(uuid4()) if trace is None else trace.trace_id


def correlation_id_of(scope: Scope) -> str | None:
    """The id that the middleware gave the request; None on a WebSocket, whose operations have their own."""
    found: str | None = scope.get("state", {}).get(_STATE)
    return found
