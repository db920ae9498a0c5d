"""Answers that last: a stream of events, or an export, ends when its token is good no more."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec
from starlette.datastructures import Headers
from starlette.types import Message, Scope, Send

from domain.errors import UnauthenticatedError, UnavailableError
from web.authentication.combined import Authentication

_STREAM = "text/event-stream"
OTHER_RIGHTS = "the token gives other rights now"
"""Those of an API token are what its file says."""


class Watched:
    """Sends an answer. `denied` is told of a 403, and of an answer that is ended as its token is good no more.

    The token is looked at again before what is sent `recheck` seconds after the last look, a stream's own pings too. A
    stream of events ends with one that says why. Sending more of anything else, such as an export, then raises
    `UnauthenticatedError`: what the client has shows that it is not whole.
    """

    def __init__(
        self,
        send: Send,
        scope: Scope,
        authentication: Authentication,
        given: Sequence[str],
        denied: Callable[[Scope, int, str], None],
        recheck: float,
    ) -> None:
        self._send = send
        self._scope = scope
        self._authentication = authentication
        self._given = given
        self._denied = denied
        self._recheck = recheck
        self._next = float("inf")
        self._streams = False
        self._ended = False

    async def __call__(self, message: Message) -> None:
        """Send one message of the answer, or what is in place of it."""
        if self._ended:
            return
        if message["type"] == "http.response.start":
            if message["status"] == 403:
                self._denied(self._scope, 403, "not allowed")
            self._streams = (
                Headers(raw=message.get("headers", ())).get("content-type", "").startswith(_STREAM)
            )
            self._next = time.monotonic() + self._recheck
        elif time.monotonic() >= self._next:
            self._next = time.monotonic() + self._recheck
            why = await self._is_refused()
            if why:
                self._ended = True
                self._denied(self._scope, 401, why)
                if not self._streams:
                    raise UnauthenticatedError(why)
                message = {"type": "http.response.body", "body": _last_event(why)}
        await self._send(message)

    async def _is_refused(self) -> str:
        try:
            found = await self._authentication.principal(self._given)
        except UnauthenticatedError as exc:
            return exc.message
        except UnavailableError:
            return ""  # what nobody can tell now ends nothing
        return "" if found == self._scope["state"]["principal"] else OTHER_RIGHTS


def _last_event(why: str) -> bytes:
    """As GraphQL over SSE has it: a result, and that it was the last."""
    error = {"message": why, "extensions": {"code": "UNAUTHENTICATED"}}
    said = msgspec.json.encode({"data": None, "errors": [error]})
    return b"event: next\r\ndata: " + said + b"\r\n\r\nevent: complete\r\ndata: \r\n\r\n"
