"""Limits on the size and the duration of every request body."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from queries.error_codes import Code
from web.http.problems import refusal

_DIGITS = 18
"""Digits of a declared length; a longer number is larger than any body."""


class BodyLimit:
    """ASGI middleware that reads a request's whole body, within limits, before the application sees it.

    So no endpoint can forget the limit, chunked bodies included.
    """

    def __init__(self, app: ASGIApp, limit: Callable[[str], int], timeout: float) -> None:
        self._app = app
        self._limit = limit
        self._timeout = timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 413, 415 or 408 itself, or pass the request on with its body."""
        if scope["type"] != "http" or scope["method"] in {"GET", "HEAD"}:
            await self._app(scope, receive, send)
            return
        limit = self._limit(scope["path"])
        if Headers(scope=scope).get("content-encoding", "identity").lower() != "identity":
            # The limit would apply to the compressed size only.
            message = "send the body without a content encoding"
            headers = {"Accept-Encoding": "identity"}
            await refusal(scope, 415, Code.BAD_REQUEST, message, headers)(scope, receive, send)
            return
        if _declared(scope) > limit:
            await _too_large(scope, limit)(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._timeout):
                body = await _read(receive, limit)
        except TimeoutError:
            late = "the body did not arrive in time"
            headers = {"Connection": "close"}
            await refusal(scope, 408, Code.BAD_REQUEST, late, headers)(scope, receive, send)
            return
        if body is None:
            await _too_large(scope, limit)(scope, receive, send)
            return
        await self._app(scope, _replaying(body, receive), send)


def _too_large(scope: Scope, limit: int) -> Response:
    long = f"the body may be {limit} bytes long"
    return refusal(scope, 413, Code.LIMIT_EXCEEDED, long, {"Connection": "close"})


def _declared(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value[:_DIGITS]) if len(value) <= _DIGITS else 10**_DIGITS
    return 0


async def _read(receive: Receive, limit: int) -> bytes | None:
    """The body, or None when it is too long."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            return None
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


def _replaying(body: bytes, receive: Receive) -> Receive:
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
