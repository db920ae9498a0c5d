"""For all routes: HEAD requests, and a check that addresses are UTF-8."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from queries.error_codes import Code
from web.http.problems import WITHOUT_HEAD, refusal


class Basics:
    """ASGI middleware, the innermost."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on. A HEAD request is passed on as GET, and the body of its answer is dropped."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if not _is_utf8(scope["query_string"]) or not _is_utf8(scope.get("raw_path", b"")):
            # It would be decoded to another address, and so be another query.
            await refusal(scope, 400, Code.BAD_REQUEST, "the address is not UTF-8")(scope, receive, send)
            return
        if scope["method"] != "HEAD" or scope["path"] in WITHOUT_HEAD:
            await self._app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        inner = {**scope, "method": "GET"}
        try:
            await self._app(inner, receive, without_body)
        finally:
            scope.update(inner, method="HEAD")  # outer middleware reads what was set in it, such as the route


def _is_utf8(escaped: bytes) -> bool:
    if b"%" not in escaped:
        return True
    try:
        unquote_to_bytes(escaped).decode()
    except UnicodeDecodeError:
        return False
    return True
