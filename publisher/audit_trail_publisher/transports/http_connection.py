"""One HTTP connection to the trail's API, kept open between requests. It needs no package."""

from __future__ import annotations

import codecs
import http.client
import io
import logging
import os
import socket
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from audit_trail_publisher.errors import ConfigurationError, DeniedError, TransportError

log = logging.getLogger("audit_trail_publisher")

for _name in ("ascii", "idna"):
    # Python loads these when it first connects, in the relay's thread. A process that is forked meanwhile would have
    # half of a module, and could never connect.
    codecs.lookup(_name)

Token = str | Callable[[], str]
Tls = ssl.SSLContext

MAX_ANSWER = 4 << 20
"""Bytes. The answer to the largest batch has a tenth."""
_FRESH_SECONDS = 4.0
"""A server may close a connection that was idle for five seconds, just as the next request is sent."""
_AGENT = "audit-trail-publisher"


class Answer(Struct, frozen=True):
    """The answer to a request. `retry_after` is in seconds."""

    status: int
    body: bytes
    retry_after: float | None


class HttpConnection:
    """Sends requests one after the other, to paths below `url`. One thread uses it at a time.

    `seconds` is how long each step may take: to connect, to send the request, and to get the whole answer.
    """

    def __init__(self, url: str, token: Token | None, *, seconds: float, tls: Tls | None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ConfigurationError("the url of the trail is http(s)://host[:port][/path]")
        if parts.username or parts.password:
            raise ConfigurationError("give the trail's credentials as token, not within the url")
        try:
            port = parts.port
        except ValueError as exc:
            raise ConfigurationError("the url of the trail has no valid port") from exc
        if parts.scheme == "http" and token is not None and not _is_loopback(parts.hostname):
            log.warning("the token for %s is sent without TLS: use https", parts.hostname)
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, port
        self._prefix = parts.path.rstrip("/")
        self._token = token
        self._seconds = seconds
        self._tls = tls
        self._connection: http.client.HTTPConnection | None = None
        self._used_at = 0.0

    def request(
        self, method: str, path: str, body: bytes | None = None, *, seconds: float | None = None
    ) -> Answer:
        """Send a request and read the whole answer. Raises `TransportError` when there is none.

        `seconds`: less time for each step than usual.
        A request whose kept connection turns out to be closed is sent again once: event ids make that safe.
        """
        headers = {"User-Agent": _AGENT, "Accept": "application/json", **self._authorization()}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if time.monotonic() - self._used_at > _FRESH_SECONDS:
            self.close()
        kept = self._connection is not None
        most = self._seconds if seconds is None else max(0.001, min(seconds, self._seconds))
        try:
            return self._exchange(method, path, body, headers, most)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as exc:
            if not kept:
                raise self._away(exc) from exc
        except (OSError, http.client.HTTPException, ValueError) as exc:
            raise self._away(exc) from exc
        try:
            return self._exchange(method, path, body, headers, most)
        except (OSError, http.client.HTTPException) as exc:
            raise self._away(exc) from exc

    def close(self) -> None:
        """Close the connection; the next request opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def forget(self) -> None:
        """In a forked process: close this process's copy of the socket, which does not end the connection.

        A thread of the parent may have been reading from it. The lock of its buffer is locked for ever in this process,
        so the buffer must not be closed.
        """
        connection, self._connection = self._connection, None
        if connection is not None:
            _PARENTS.append(connection)
            if connection.sock is not None:
                os.close(connection.sock.detach())

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], seconds: float
    ) -> Answer:
        connection = self._connection = self._connection or self._new(seconds)
        try:
            if connection.sock is not None:
                connection.sock.settimeout(seconds)
            connection.request(method, self._prefix + path, body, headers)
            until = time.monotonic() + seconds
            connection.response_class = partial(_Response, until=until)  # type: ignore[assignment]
            response = connection.getresponse()
            answer = Answer(
                response.status, self._body(response), _retry_after(response.headers.get("Retry-After"))
            )
        except BaseException:
            self.close()
            raise
        self._used_at = time.monotonic()
        if response.will_close:
            self.close()
        return answer

    def _new(self, seconds: float) -> http.client.HTTPConnection:
        if not self._secure:
            return http.client.HTTPConnection(self._host, self._port, timeout=seconds)
        self._tls = self._tls or ssl.create_default_context()
        return http.client.HTTPSConnection(self._host, self._port, timeout=seconds, context=self._tls)

    def _body(self, response: http.client.HTTPResponse) -> bytes:
        """The body, bounded in size."""
        parts: list[bytes] = []
        left = MAX_ANSWER
        while part := response.read1(1 << 16):
            parts.append(part)
            left -= len(part)
            if left < 0:
                raise TransportError(f"the answer of {self._host} is too long")
        response.close()  # read1 of Python 3.11 leaves it open, and the connection in use
        return b"".join(parts)

    def _authorization(self) -> dict[str, str]:
        if self._token is None:
            return {}
        try:
            token = self._token if isinstance(self._token, str) else self._token()
        except OSError as exc:
            raise DeniedError(f"the token can't be read: {exc.strerror}") from exc
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise DeniedError("the token is empty, or no bearer token")
        return {"Authorization": f"Bearer {token}"}

    def _away(self, exc: Exception) -> TransportError:
        # What http.client says can quote the server.
        said = str(exc) if isinstance(exc, OSError) and not isinstance(exc, http.client.HTTPException) else ""
        reason = getattr(exc, "strerror", None) or said or type(exc).__name__
        return TransportError(f"{self._host} does not answer: {reason}")


class _Response(http.client.HTTPResponse):
    """A response that has to be whole at the time `until`, however slowly its bytes drip."""

    def __init__(self, sock: socket.socket, *args: Any, until: float, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp.close()
        self.fp = io.BufferedReader(_Reader(sock, until))


class _Reader(io.RawIOBase):
    """Reads from a socket until a time: the socket's own time-out begins again with each byte."""

    def __init__(self, sock: socket.socket, until: float) -> None:
        self._socket = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._until = until

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """See `io.RawIOBase.readinto`. Raises `TimeoutError` at the end of the time."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._socket.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        """Close this reader of the socket."""
        self._raw.close()
        super().close()


_PARENTS: list[object] = []
"""Connections of the parent of a forked process, kept so that nothing closes them."""


def _retry_after(value: str | None) -> float | None:
    """The seconds of the header (RFC 9110, section 10.2.3): a number, or a date."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value.strip()[:9])
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
