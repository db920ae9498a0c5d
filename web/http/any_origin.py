"""Browsers may read the public log from pages of any origin: it needs no credentials, and holds no personal data."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PREFIX = "/log/"
_PREFLIGHT = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD",
    "Access-Control-Allow-Headers": "If-None-Match, If-Modified-Since, Cache-Control, Pragma",
    "Access-Control-Max-Age": "86400",
}


class AnyOrigin:
    """ASGI middleware: `Access-Control-Allow-Origin: *` for GET and HEAD below `/log/` (Fetch, section 3.2)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer preflights, and add the header to answers, errors included."""
        if scope["type"] != "http" or not scope["path"].startswith(_PREFIX):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await Response(None, 204, _PREFLIGHT)(scope, receive, send)
            return
        if scope["method"] not in {"GET", "HEAD"}:
            await self._app(scope, receive, send)
            return

        async def for_any_origin(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered = MutableHeaders(scope=message)
                answered["Access-Control-Allow-Origin"] = "*"
                answered["Access-Control-Expose-Headers"] = "ETag, Retry-After"
                # No cookie ever counts here, and a browser refuses `*` together with this header.
                del answered["Access-Control-Allow-Credentials"]
            await send(message)

        await self._app(scope, receive, for_any_origin)
