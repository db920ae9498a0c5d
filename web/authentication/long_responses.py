"""Long answers: a stream of events or an export ends when its token becomes invalid."""

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
"""The reason when the token file gives an API token other rights."""


class Watched:
    """Sends an answer. `denied` is called for a 403, and when an answer ends because its token became invalid.

    The token is checked again before a message that is sent `recheck` seconds after the last check, pings included. A
    stream of events then ends with an error event. Any other answer, such as an export, raises `UnauthenticatedError`,
    and the client sees that it is incomplete.
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
        """Send one message of the answer, or the one that ends it."""
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
            return ""  # a token that can't be checked now stays valid
        return "" if found == self._scope["state"]["principal"] else OTHER_RIGHTS


def _last_event(why: str) -> bytes:
    """The end of a stream in GraphQL over SSE: a result, and `complete`."""
    error = {"message": why, "extensions": {"code": "UNAUTHENTICATED"}}
    result = msgspec.json.encode({"data": None, "errors": [error]})
    return b"event: next\r\ndata: " + result + b"\r\n\r\nevent: complete\r\ndata: \r\n\r\n"
