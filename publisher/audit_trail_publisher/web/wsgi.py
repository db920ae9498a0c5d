"""Middleware for WSGI applications (Flask, Bottle, Pyramid, ...)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from contextvars import copy_context
from operator import attrgetter
from typing import Any, Unpack
from urllib.parse import quote

from audit_trail_publisher.errors import PublisherError
from audit_trail_publisher.trail import Trail
from audit_trail_publisher.unkept import UNKEPT, UnkeptError
from audit_trail_publisher.web.identity import IdentityLike
from audit_trail_publisher.web.request_record import (
    CLIENT_LEFT,
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

Environ = dict[str, Any]
Write = Callable[[bytes], object]
StartResponse = Callable[..., Write]
WSGIApp = Callable[[Environ, StartResponse], Iterable[bytes]]


def plain_path(environ: Environ) -> str:
    """The path, percent-encoded, without the query string."""
    # PEP 3333: the bytes of a path are in the environment as if they were Latin-1.
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return quote(path.encode("latin-1", "replace"), safe="/:@!$&'()*+,;=~-._")


def user_of(environ: Environ) -> IdentityLike:
    """The user that the web server has authenticated (RFC 3875, section 4.1.11)."""
    found: str | None = environ.get("REMOTE_USER")
    return found


class AuditMiddleware:
    """Records each request: `api.called`, or `access.denied` for 401 and 403.

    ::

        app.wsgi_app = AuditMiddleware(app.wsgi_app, trail, proxies=["10.0.0.0/8"], skip=["/healthz"])

    The event is recorded before the response begins, so no response leaves without its event. `duration_ms` is the
    time until the response began. A response that breaks off later gets a second event with the same correlation id.

    `actor` gets the environment; by default it is `user_of`. An application calls `identify` instead when it finds out
    itself who calls. For the other options see `RequestOptions`.
    """

    def __init__(
        self,
        app: WSGIApp,
        trail: Trail,
        *,
        actor: Callable[[Environ], IdentityLike] = user_of,
        path: Callable[[Environ], str] = plain_path,
        **options: Unpack[RequestOptions],
    ) -> None:
        self._app = app
        self._trail = trail
        self._path = path
        self._auditing = RequestAuditing[Environ](actor, **options)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Pass the request on, and record it."""
        if self._auditing.skips(environ.get("PATH_INFO", "")):
            return self._app(environ, start_response)
        record = self._auditing.open(environ, self._arrival(environ))
        return _Exchange(self._trail, record, start_response, refuses=self._auditing.refuses).call(
            self._app, environ
        )

    def _arrival(self, environ: Environ) -> Arrival:
        def values(name: str) -> list[str]:
            value = environ.get(f"HTTP_{name.upper().replace('-', '_')}")
            return [] if value is None else [value]

        peer = environ.get("REMOTE_ADDR") or None
        return Arrival(environ.get("REQUEST_METHOD", ""), self._path(environ), peer, values)


class _Exchange:
    """One request and its response: the iterable that the server gets."""

    def __init__(
        self, trail: Trail, record: RequestRecord[Environ], start_response: StartResponse, *, refuses: bool
    ) -> None:
        self._trail = trail
        self._record = record
        self._server = start_response
        self._refuses = refuses
        # The application's code runs in here, also while it makes its response bit by bit.
        self._context = copy_context()
        self._chunks: Iterable[bytes] = ()
        self._start: tuple[Any, ...] = ()
        self._write_to_server: Write | None = None
        self._refused = False
        self._settled = False

    def call(self, app: WSGIApp, environ: Environ) -> Iterable[bytes]:
        """Call the application."""
        self._context.run(self._record.enter)
        try:
            self._chunks = self._context.run(app, environ, self._start_response)
        except UNKEPT as exc:
            if not self._answered():
                self._settle(500, failed_with(exc))
                raise
        except BaseException as exc:
            self._settle(500, failed_with(exc))
            raise
        return self

    def _start_response(self, *start: Any) -> Write:
        if self._write_to_server is not None:
            return self._server(*start)  # PEP 3333: with exc_info, the server raises it
        self._start = start
        return self._write

    def _write(self, chunk: bytes) -> None:
        self._begin()
        if not self._refused and self._write_to_server is not None:
            self._write_to_server(chunk)

    def __iter__(self) -> Iterator[bytes]:
        try:
            chunks = self._context.run(iter, self._chunks)
            while (chunk := self._context.run(next, chunks, None)) is not None:
                self._begin()
                if self._refused:
                    return
                yield chunk
            self._begin()
        except UNKEPT as exc:
            if not self._answered():
                self._settle(self._status() if self._write_to_server else 500, failed_with(exc))
                raise
        except Exception as exc:
            self._settle(self._status() if self._write_to_server else 500, failed_with(exc))
            raise
        self._settled = True

    def close(self) -> None:
        """Record what the server did not fetch, and close the application's iterable."""
        try:
            if hasattr(self._chunks, "close"):
                self._context.run(self._chunks.close)
        finally:
            # A server need not fetch the body for HEAD.
            whole = self._write_to_server is None and self._start
            self._settle(self._status(), None if whole else CLIENT_LEFT)

    def _status(self) -> int | None:
        return int(self._start[0].split(None, 1)[0]) if self._start else None

    def _begin(self) -> None:
        """Record the event and then begin the response, once."""
        if self._write_to_server is not None or not self._start:
            return
        unkept = self._record.unkept(self._status() or 500)
        if unkept is not None:
            self._withhold(unkept)
            return
        try:
            self._keep(self._status(), None)
        except PublisherError as unrecorded:
            log_unrecorded(unrecorded)
            if self._refuses:
                self._refuse()
                return
        self._write_to_server = self._server(*self._start)

    def _answered(self) -> bool:
        """The application ended with the error that an event was not kept. Whether the client has its 503."""
        unkept = self._record.unkept()
        if unkept is not None and self._write_to_server is None:
            self._withhold(unkept)
        return self._refused

    def _withhold(self, unkept: UnkeptError) -> None:
        """Answer 503 instead of the application's error."""
        log_unrecorded(unkept)
        if may_fit(unkept):
            with suppress(PublisherError):
                self._keep(503, failed_with(unkept))
        self._refuse()

    def _refuse(self) -> None:
        self._refused = self._settled = True
        headers = [("Content-Length", "0"), ("Retry-After", str(RETRY_SECONDS))]
        self._write_to_server = self._server("503 Service Unavailable", headers)

    def _settle(self, status: int | None, failure: Failure | None) -> None:
        """Record the end of a response that is not complete, once."""
        if self._settled:
            return
        self._settled = True
        with logged():
            self._keep(status, failure)

    def _keep(self, status: int | None, failure: Failure | None) -> None:
        type, fields = self._record.event(status, failure)
        attrgetter(type)(self._trail.durable)(**fields)
