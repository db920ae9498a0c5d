"""Around all pages: the content security policy, and errors as pages instead of problem details."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.http.page_paths import POLICY, SHARED, is_of_dashboard, wants_page
from web.http.problems import MEDIA_TYPE, Problem

_TITLES = {
    400: "This address is not right",
    403: "You may not see this",
    404: "Nothing here",
    409: "This can't be answered",
    429: "Too many requests",
    503: "Not now",
}
_UNRECORDED = "This look can't be recorded"
_OF_BODY = frozenset({"content-type", "content-length", "content-security-policy"})


class PageEdge:
    """ASGI middleware, outside of all that may refuse a request."""

    def __init__(self, app: ASGIApp, *, page: Callable[[Request, int, str, str], Response]) -> None:
        self._app = app
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http" or not is_of_dashboard(scope["path"]):
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        body = b""

        async def sending(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = POLICY
                if scope["path"] == SHARED:
                    headers["X-Robots-Tag"] = "noindex, nofollow"
                if headers.get("content-type") == MEDIA_TYPE and wants_page(scope):
                    start = message
                    return
            elif start is not None:
                body += message.get("body", b"")
                if not message.get("more_body"):
                    await self._explain(start, body, scope, receive, send)
                return
            await send(message)

        await self._app(scope, receive, sending)

    async def _explain(self, start: Message, body: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        problem = (
            msgspec.json.decode(body, type=Problem) if body else Problem(title="", status=start["status"])
        )
        status = start["status"]
        text = "; ".join(
            f"{each['field']}: {each['message']}" for each in problem.errors if each.get("field")
        )
        said = problem.detail or problem.title
        text = text or f"{said[:1].upper()}{said[1:]}"
        title = _TITLES.get(status, "Something went wrong")
        if status == 503 and Headers(raw=start["headers"]).get("audit-recorded") == "false":
            title = _UNRECORDED
        answer = self._page(Request(scope), status, title, f"{text}.")
        answer.headers["Content-Security-Policy"] = POLICY
        for name, value in Headers(raw=start["headers"]).items():
            if name not in _OF_BODY:
                answer.headers.append(name, value)
        await answer(scope, receive, send)
