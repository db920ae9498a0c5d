"""Long answers: a stream of events or an export ends when its token becomes invalid."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import msgspec
from starlette.datastructures import Headers
from starlette.types import Message, Scope, Send

from domain.access.principal import Principal
from domain.errors import UnauthenticatedError, UnavailableError

_STREAM = "text/event-stream"
OTHER_RIGHTS = "the token gives other rights now"
"""The reason when the token file gives an API token other rights."""
EXPIRED = "the token has expired"


def seconds_left(principal: Principal | None) -> float | None:
    """The seconds until the token of a principal expires; None without an end.

    A token that expired less than the accepted clock difference ago is still valid: it has no end here, and the next
    check of the token ends the answer.
    """
    if principal is None or principal.expires_at is None:
        return None
    left = (principal.expires_at - datetime.now(UTC)).total_seconds()
    return left if left > 0 else None


class Watched:
    """Sends an answer. `denied` is called for a 403, and when an answer ends because its token became invalid.

    `check` finds the principal again, as `Authentication.principal` does.

    The token is checked again before a message that is sent `recheck` seconds after the last check, pings included. A
    stream of events then ends with an error event. Any other answer, such as an export, raises `UnauthenticatedError`,
    and the client sees that it is incomplete. It also does so for each part, other than the last, after the token's
    expiry; subscriptions end by themselves then.
    """

    def __init__(
        self,
        send: Send,
        scope: Scope,
        check: Callable[[], Awaitable[Principal]],
        denied: Callable[[Scope, int, str], None],
        recheck: float,
    ) -> None:
        self._send = send
        self._scope = scope
        self._check = check
        self._denied = denied
        self._recheck = recheck
        self._next = float("inf")
        self._ends = float("inf")
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
            left = seconds_left(self._scope["state"]["principal"])
            if left is not None and not self._streams:
                self._ends = time.monotonic() + left
        elif time.monotonic() >= self._ends and message.get("more_body"):
            self._refuse(EXPIRED)
        elif time.monotonic() >= self._next:
            self._next = time.monotonic() + self._recheck
            why = await self._is_refused()
            if why:
                self._refuse(why)
                message = {"type": "http.response.body", "body": _last_event(why)}
        await self._send(message)

    def _refuse(self, why: str) -> None:
        self._ended = True
        self._denied(self._scope, 401, why)
        if not self._streams:
            raise UnauthenticatedError(why)

    async def _is_refused(self) -> str:
        try:
            found = await self._check()
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
