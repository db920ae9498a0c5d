"""A span for each HTTP request."""

from __future__ import annotations

import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from event_store.tracing import Kind, Tracer, parse, within
from web.http.routes import METHODS, route_of

_CONVERTOR = re.compile(r":[a-z]+\}")
"""How a parameter is read, which is our own: ``{id:subject}``."""


class Traced:
    """ASGI middleware. A request with `traceparent` continues that trace.

    The span has the route and never the path or the query, which name patients (OpenTelemetry's conventions for HTTP
    servers allow that).
    """

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        span = self._tracer.start(
            method,
            Kind.SERVER,
            parent=parse(headers.get("traceparent", ""), headers.get("tracestate", "")),
            attributes={"http.request.method": method},
        )
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with within(span):
            try:
                await self._app(scope, receive, watched)
            finally:
                route = _CONVERTOR.sub("}", route_of(scope))
                span.rename(f"{method} {route}")
                span.set({"http.route": route})
                if status:
                    span.set({"http.response.status_code": status})
            if status >= 500:
                span.end(str(status))
