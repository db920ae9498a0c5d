"""Nothing that was read for an answer leaves before it is on record: every route at once, and GraphQL's own shape."""

from __future__ import annotations

from collections.abc import AsyncGenerator, MutableMapping, Sequence
from contextlib import aclosing, suppress
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from strawberry.types import ExecutionResult

from domain.errors import UnrecordedError
from domain.read_audit.events import Stage, Via
from graphql_api.errors import Code, from_domain
from web.http.problems import refusal
from web.read_audit.access_record import Looking, Recorder, look_at, look_away, looking_at

HEADER = "Audit-Recorded"
"""`false` on an answer that is not on record."""


class Recorded:
    """ASGI middleware. An answer begins once what was read for it is on record; else it becomes a 503."""

    def __init__(self, app: ASGIApp, recorder: Recorder, retry_after: int) -> None:
        self._app = app
        self._recorder = recorder
        self._retry_after = retry_after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        looking = self._recorder.looking(scope)
        look_at(scope, looking)
        begun = False

        async def recorded(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                looking.tell_refused(message["status"])
                if not await self._is_kept(looking, message["status"]):
                    begun = True
                    await self._refusal(scope)(scope, receive, send)
                    return
                if looking.flagged:
                    MutableHeaders(scope=message)[HEADER] = "false"
            if not begun:  # what the refusal stands for is not sent
                await send(message)

        try:
            await self._app(scope, receive, recorded)
        finally:
            look_away(scope)
            # What was read and not answered, as something broke or the client went away, was read all the same.
            with suppress(UnrecordedError):
                await looking.keep()

    @staticmethod
    async def _is_kept(looking: Looking, status: int) -> bool:
        try:
            await looking.keep(status)
        except UnrecordedError:
            return False
        return not looking.refused

    def _refusal(self, scope: Scope) -> Response:
        headers = {"Retry-After": str(self._retry_after), HEADER: "false"}
        return refusal(scope, 503, Code.AUDIT_UNAVAILABLE, str(UnrecordedError()), headers)


async def marked(request: Request, answer: MutableMapping[str, Any]) -> None:
    """Put what was read for a GraphQL answer on record; flag the answer when that fails and it is given all the same.

    When it must not be given, `Recorded` sends another in its place. A part that was refused is put on record too.
    """
    looking = looking_at(request)
    if looking is None or looking.streams:
        return
    looking.refused_parts += [
        _place(error.get("path"))
        for error in answer.get("errors") or ()
        if (error.get("extensions") or {}).get("code") == Code.FORBIDDEN
    ]
    try:
        await looking.keep(200)
    except UnrecordedError:
        return
    if looking.flagged:
        answer["extensions"] = {**(answer.get("extensions") or {}), "recorded": False}


async def recorded_results(looking: Looking, results: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
    """The results of a stream, each after what was read for it is on record; the last one says when that failed."""
    looking.streams = True
    async with aclosing(results):
        async for result in results:
            looking.refused_parts += [
                _place(error.path)
                for error in result.errors or ()
                if (error.extensions or {}).get("code") == Code.FORBIDDEN
            ]
            looking.tell_refused()
            try:
                # A query over a socket, or as a stream of one result, is answered at once.
                await looking.keep(stage=Stage.DELIVERED if looking.via is Via.SUBSCRIPTION else None)
            except UnrecordedError as exc:
                yield ExecutionResult(data=None, errors=[from_domain(exc)])
                return
            if looking.flagged:
                result.extensions = {**(result.extensions or {}), "recorded": False}
            yield result


def _place(path: Sequence[str | int] | None) -> str:
    return ".".join(map(str, path)) if path else "the subscription"
