"""Server-sent events of the dashboard (HTML, section 9.2): rows of new events, each recorded before it is sent."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from dashboard.explorer.new_events import NewEvents
from domain.errors import (
    AuditTrailError,
    RejectedError,
    TooSlowError,
    UnauthenticatedError,
    UnavailableError,
    UnrecordedError,
)
from domain.read_audit.events import Stage
from queries.following.feed import Feed, StoppingError
from web.authentication.long_responses import seconds_left
from web.authentication.middleware import SESSION_CHECK, SessionCheck, principal_of
from web.read_audit.access_record import AccessRecord

MOST_STREAMS = 4
"""Lists of one person that follow at once. Over HTTP/1.1 a browser opens six connections to a server."""
HEARTBEAT = 15.0
"""Seconds without an event until a comment shows that the connection lives, and that the session does."""
_LONGEST = 300.0
"""Seconds of one stream. After that the browser opens a new stream, and its session is checked again. So a session that
nobody uses can end while a page is open."""
_RETRY = b"retry: 2000\n\n"
_PAUSE = 0.4
"""Seconds between two looks for events, however often the projections move."""
_REASONS: tuple[tuple[type[AuditTrailError], str], ...] = (
    (UnauthenticatedError, "Your session has ended: reload the page to sign in again."),
    (
        UnrecordedError,
        "Following has ended: what you see can't be recorded now, so it is not shown. Try again.",
    ),
    (TooSlowError, "Following has ended: it took too long to look for new events. Add a condition."),
    (UnavailableError, "Following has ended: the database is away. Nothing is lost; try again in a moment."),
    (AuditTrailError, "Following has ended: your role may not see this any more. Reload the page."),
)
"""What the reader is told, by the first kind of error that fits."""
_FLAGGED = "These rows are shown although what you see is not recorded now: the broker is away."
_LINE_END = re.compile("\r\n|\r|\n")


class EventStream(StreamingResponse):
    """A stream that is closed with its answer, also when the client stops reading before it goes away."""

    def __init__(self, body: AsyncGenerator[bytes, None]) -> None:
        # Some proxies hold answers back unless they are told not to.
        headers = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}
        super().__init__(body, headers=headers, media_type="text/event-stream")
        self._body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream, and close it in any case."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._body.aclose()


def message(event: str, data: str, id: int | None = None) -> bytes:
    """One event of a stream. Every line of the data has its own prefix: no text of an event can begin a field."""
    lines = [f"id: {id}"] if id is not None else []
    lines += [f"event: {event}", *(f"data: {line}" for line in _LINE_END.split(data))]
    return ("\n".join(lines) + "\n\n").encode()


class Tail:
    """One list that follows. `read` gives the events after a position, and `rows` their HTML."""

    def __init__(
        self,
        request: Request,
        feed: Feed,
        record: AccessRecord | None,
        read: Callable[[int], Awaitable[NewEvents]],
        rows: Callable[[NewEvents], Awaitable[bytes]],
    ) -> None:
        self._scope = request.scope
        self._feed = feed
        self._record = record
        self._read = read
        self._rows = rows
        principal = principal_of(self._scope)
        self._client = "" if principal is None else f"dashboard {principal.issuer or ''} {principal.id}"
        left = seconds_left(principal)
        self._ends = time.monotonic() + (_LONGEST if left is None else min(left, _LONGEST))

    async def stream(self, position: int, parameters: Mapping[str, Any]) -> AsyncGenerator[bytes, None]:
        """The events after `position`. It ends with the session, and with an event that says why."""
        yield _RETRY
        try:
            async with self._feed.subscribed(self._client, MOST_STREAMS):
                if self._record is not None:
                    await self._record.write_start("event_recorded", parameters)
                sent = time.monotonic()
                while time.monotonic() < self._ends:
                    version = self._feed.version
                    await self._check_session()
                    found = await self._read(position)
                    position = found.position
                    if found.events or found.missing:
                        rows = await self._recorded(found)
                        if self._record is not None and self._record.flagged:
                            yield message("say", _FLAGGED)
                        yield rows
                        sent = time.monotonic()
                    elif self._record is not None:
                        self._record.discard()
                    await asyncio.sleep(_PAUSE)
                    await self._changed(version)
                    if time.monotonic() - sent >= HEARTBEAT:
                        # The id without data moves the place at which the browser continues.
                        yield f": alive\nid: {position}\n\n".encode()
                        sent = time.monotonic()
        except StoppingError:
            return  # the browser opens the stream again
        except AuditTrailError as exc:
            yield message("end", _reason(exc))

    async def _recorded(self, found: NewEvents) -> bytes:
        html = await self._rows(found)
        if self._record is not None:
            await self._record.write(stage=Stage.DELIVERED)
        return message("rows", html.decode(), found.position)

    async def _changed(self, version: int) -> None:
        """Wait for new events, at most `HEARTBEAT`. Raises `StoppingError` when the server stops."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(min(HEARTBEAT, self._ends - time.monotonic()), 0)):
                if not await self._feed.changed(version):
                    raise StoppingError

    async def _check_session(self) -> None:
        check: SessionCheck | None = self._scope.get("state", {}).get(SESSION_CHECK)
        if check is not None:
            await check()


def _reason(exc: AuditTrailError) -> str:
    """Why a stream ends, for its reader."""
    if isinstance(exc, RejectedError):
        return f"Following has ended: {exc.message}."
    return next(said for kind, said in _REASONS if isinstance(exc, kind))
