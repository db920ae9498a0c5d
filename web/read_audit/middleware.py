"""No answer is sent before its reads are recorded, on every route."""

from __future__ import annotations

from contextlib import suppress

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.errors import UnrecordedError
from queries.error_codes import Code
from web.http.problems import refusal
from web.read_audit.access_record import AccessRecord, AccessRecorder, attach, detach

HEADER = "Audit-Recorded"
"""`false` on an answer whose reads were not recorded."""


class Recorded:
    """ASGI middleware. An answer starts once its reads are recorded; else it becomes a 503."""

    def __init__(self, app: ASGIApp, recorder: AccessRecorder, retry_after: int) -> None:
        self._app = app
        self._recorder = recorder
        self._retry_after = retry_after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = self._recorder.open(scope)
        attach(scope, record)
        begun = False

        async def recorded(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                record.write_denied_parts(message["status"])
                if not await self._is_recorded(record, message["status"]):
                    begun = True
                    await self._refusal(scope)(scope, receive, send)
                    return
                if record.flagged:
                    MutableHeaders(scope=message)[HEADER] = "false"
            if not begun:  # the refusal replaces the answer
                await send(message)

        try:
            await self._app(scope, receive, recorded)
        finally:
            detach(scope)
            # Reads without an answer, after an error or when the client went away, are recorded too.
            with suppress(UnrecordedError):
                await record.write()

    @staticmethod
    async def _is_recorded(record: AccessRecord, status: int) -> bool:
        try:
            await record.write(status)
        except UnrecordedError:
            return False
        return not record.withheld

    def _refusal(self, scope: Scope) -> Response:
        headers = {"Retry-After": str(self._retry_after), HEADER: "false"}
        return refusal(scope, 503, Code.AUDIT_UNAVAILABLE, str(UnrecordedError()), headers)
