"""Middleware for ASGI applications (FastAPI, Starlette, Django, ...) that runs on asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from operator import attrgetter
from typing import Any, Unpack
from urllib.parse import quote

from audit_trail_publisher.errors import PublisherError
from audit_trail_publisher.trail import Trail
from audit_trail_publisher.unkept import UNKEPT, UnkeptError
from audit_trail_publisher.web.identity import IdentityLike
from audit_trail_publisher.web.request_record import (
    CLIENT_LEFT,
    INCOMPLETE,
    NO_RESPONSE,
    RETRY_SECONDS,
    Arrival,
    Failure,
    RequestAuditing,
    RequestOptions,
    RequestRecord,
    failed_with,
    log_unrecorded,
    logged,
    may_fit,
)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_STARTS = frozenset({"http.response.start", "websocket.http.response.start", "websocket.accept"})
_BODIES = frozenset({"http.response.body", "websocket.http.response.body"})
_ENDS = frozenset({"http.response.pathsend", "websocket.close"})
_SAFE_IN_PATHS = "/:@!$&'()*+,;=~-._"
"""RFC 3986, section 3.3: `pchar` and the slash."""


def plain_path(scope: Scope) -> str:
    """The path as it was sent, without the query string."""
    raw: bytes = scope.get("raw_path") or quote(scope["path"], safe=_SAFE_IN_PATHS).encode()
    return raw.partition(b"?")[0].decode("latin-1")


def path_with_query(scope: Scope) -> str:
    """The path with the query string. Use it only where no query string holds secrets or names of patients."""
    query: bytes = scope.get("query_string", b"")
    return plain_path(scope) + (f"?{query.decode('latin-1')}" if query else "")


def user_of(scope: Scope) -> IdentityLike:
    """The user of Starlette's AuthenticationMiddleware."""
    user: Any = scope.get("user")
    if not getattr(user, "is_authenticated", False):
        return None
    identity: str = user.identity
    return identity


class AuditMiddleware:
    """Records each request and each WebSocket: `api.called`, or `access.denied` for 401 and 403.

    ::

        app.add_middleware(AuditMiddleware, trail=trail, actor=claims_of, proxies=["10.0.0.0/8"], skip=["/healthz"])

    The event is recorded before the response begins, so no response leaves without its event. It is written in a
    thread, and a client that leaves does not cancel that. `duration_ms` is the time until the response began. A
    response that breaks off later gets a second event with the same correlation id.

    `actor` gets the scope; by default it is `user_of`. `path` gets the scope as well. For the other options see
    `RequestOptions`. Messages of a WebSocket are not recorded.
    """

    def __init__(
        self,
        app: ASGIApp,
        trail: Trail,
        *,
        actor: Callable[[Scope], IdentityLike] = user_of,
        path: Callable[[Scope], str] = plain_path,
        **options: Unpack[RequestOptions],
    ) -> None:
        self._app = app
        self._trail = trail
        self._path = path
        self._auditing = RequestAuditing[Scope](actor, **options)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and record it."""
        if scope["type"] not in {"http", "websocket"} or self._auditing.skips(scope["path"]):
            await self._app(scope, receive, send)
            return
        record = self._auditing.open(scope, self._arrival(scope))
        exchange = _Exchange(self._trail, record, receive, send, refuses=self._auditing.refuses)
        with record.current():
            try:
                await self._app(scope, exchange.receive, exchange.send)
            except UNKEPT as exc:
                if not await exchange.answered(scope["type"]):
                    await exchange.ended(exc)
                    raise
            except BaseException as exc:
                await exchange.ended(exc)
                raise
            await exchange.ended()

    def _arrival(self, scope: Scope) -> Arrival:
        def values(name: str) -> list[str]:
            wanted = name.encode()
            return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == wanted]

        client = scope.get("client")
        method = scope.get("method", "WEBSOCKET")
        return Arrival(method, self._path(scope), client[0] if client else None, values)


class _Exchange:
    """One request and its response, as messages pass in both directions."""

    def __init__(
        self, trail: Trail, record: RequestRecord[Scope], receive: Receive, send: Send, *, refuses: bool
    ) -> None:
        self._trail = trail
        self._record = record
        self._receive = receive
        self._send = send
        self._refuses = refuses
        self._refused = False
        self._status: int | None = None
        self._complete = False
        self._stream_of_events = False
        self._client_left = False

    async def receive(self) -> Message:
        """The next message of the client."""
        message = await self._receive()
        if message["type"] in {"http.disconnect", "websocket.disconnect"}:
            self._client_left = True
        return message

    async def send(self, message: Message) -> None:
        """Pass a message of the application on. The response begins when its event is kept."""
        type = message["type"]
        if self._status is None and (type in _STARTS or type == "websocket.close"):
            await self._begin(message)
        if self._refused:
            return  # the client has its answer, and the application may end as it likes
        await self._send(message)
        if type in _ENDS or (type in _BODIES and not message.get("more_body", False)):
            self._complete = True

    async def answered(self, type: str) -> bool:
        """The application ended with the error that an event was not kept. Whether the client has its 503."""
        unkept = self._record.unkept()
        if unkept is not None and self._status is None:
            await self._withhold(unkept, type)
        return self._refused

    async def ended(self, exc: BaseException | None = None) -> None:
        """Record what no response has: the application ended, or was cancelled, before the response was complete."""
        if self._status is None:
            failure = self._failure(exc, NO_RESPONSE)
            # The server answers 500 for an application that raises.
            self._status = 500 if isinstance(exc, Exception) and failure is not CLIENT_LEFT else None
        elif self._complete or (self._client_left and self._status_of_stream()):
            return
        else:
            failure = self._failure(exc, INCOMPLETE)
        with logged():
            await self._keep(failure)

    def _status_of_stream(self) -> bool:
        # Only the client ends a stream of events or a WebSocket.
        return self._stream_of_events or self._status == 101

    def _failure(self, exc: BaseException | None, otherwise: Failure) -> Failure:
        if isinstance(exc, asyncio.CancelledError) or self._client_left:
            return CLIENT_LEFT
        return otherwise if exc is None else failed_with(exc)

    async def _begin(self, message: Message) -> None:
        self._status = _status_of(message)
        self._stream_of_events = any(
            name.lower() == b"content-type" and value.startswith(b"text/event-stream")
            for name, value in message.get("headers", ())
        )
        unkept = self._record.unkept(self._status)
        if unkept is not None:
            await self._withhold(unkept, message["type"])
            return
        try:
            await self._keep()
        except PublisherError as unrecorded:
            log_unrecorded(unrecorded)
            if self._refuses:
                await self._refuse(message["type"])

    async def _withhold(self, unkept: UnkeptError, type: str) -> None:
        """Answer 503 instead of the application's error."""
        log_unrecorded(unkept)
        self._status = 503
        if may_fit(unkept):
            with suppress(PublisherError):
                await self._keep(failed_with(unkept))
        await self._refuse(type)

    async def _keep(self, failure: Failure | None = None) -> None:
        type, fields = self._record.event(self._status, failure)
        await attrgetter(type)(self._trail.aio.durable)(**fields)

    async def _refuse(self, type: str) -> None:
        self._refused = self._complete = True
        if type.startswith("websocket"):
            await self._send({"type": "websocket.close", "code": 1013})
            return
        headers = [(b"content-length", b"0"), (b"retry-after", str(RETRY_SECONDS).encode())]
        await self._send({"type": "http.response.start", "status": 503, "headers": headers})
        await self._send({"type": "http.response.body", "body": b""})


def _status_of(message: Message) -> int:
    """The status that the client sees. Servers answer 403 when a WebSocket is closed before it was accepted."""
    return {"websocket.accept": 101, "websocket.close": 403}.get(message["type"]) or int(message["status"])
