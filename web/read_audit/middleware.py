"""No answer leaves before what was read for it is on record: for every route at once."""

from __future__ import annotations

from contextlib import suppress

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.errors import UnrecordedError
from queries.error_codes import Code
from web.http.problems import refusal
from web.read_audit.access_record import Looking, Recorder, look_at, look_away

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
