"""Outgoing HTTP: one request to one address, with limits on the total time and size.

One deadline covers the name look-up, the connection, TLS, the request, the headers and the body. The time-outs of
`http.client` and `urllib` apply to each read, so a server that sends one byte at a time could block the caller for
days.

It follows no redirects and ignores the proxies of the environment: a request goes where the setting says.
"""

from __future__ import annotations

import io
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import closing
from email.message import Message
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from domain.errors import ConfigurationError, UnavailableError

_ENVELOPE = 256 << 10
"""The maximum of bytes for headers, interim responses and chunk framing together, in addition to the body."""
_MIN_ADDRESS_SECONDS = 1.0
"""Minimum seconds for each address of a host to accept the connection, if the deadline allows."""
_PORTS = {"http": 80, "https": 443}


class Target(NamedTuple):
    """The address of a request. `path` includes the query."""

    scheme: str
    host: str
    port: int
    path: str

    def under(self, path: str) -> Target:
        """The target with `path` appended to its path; the query is dropped."""
        return self._replace(path=f"{self.path.partition('?')[0].rstrip('/')}/{path}")


class Answer(NamedTuple):
    """A response. `complete` is False when `body` was too long or cut off, and contains only its beginning."""

    status: int
    headers: Message
    body: bytes
    complete: bool


class Deadline:
    """The time by which an operation must end."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._until = time.monotonic() + seconds

    def left(self) -> float:
        """The remaining seconds, more than 0. Raises `TimeoutError` when none remain."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left


def parse_target(url: str, what: str) -> Target:
    """Parse an http or https URL. `what` names its setting.

    Raises `ConfigurationError`, which never quotes the URL.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        raise ConfigurationError(f"{what} needs a valid URL") from exc
    if parts.scheme not in _PORTS or not host:
        raise ConfigurationError(f"{what} needs a URL that begins with https:// or http://")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigurationError(
            f"{what} needs a URL without spaces and special characters: percent-encode them"
        )
    if "@" in parts.netloc:
        raise ConfigurationError(f"{what} needs a URL without a user name or password")
    query = f"?{parts.query}" if parts.query else ""
    return Target(parts.scheme, host, port or _PORTS[parts.scheme], (parts.path or "/") + query)


def exchange(
    target: Target,
    deadline: Deadline,
    *,
    what: str,
    most: int,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """POST `body` to `target`, or GET it without a body, and return the response, whatever its status.

    At most `most` bytes of the response body are read. Raises `UnavailableError` when there is no response by
    `deadline`. The message begins with `what` and never contains the URL, which may be secret.
    """
    try:
        return _exchange(target, deadline, most, body, headers or {})
    except TimeoutError as exc:
        raise UnavailableError(f"{what} did not answer within {deadline.seconds:g} s") from exc
    except ssl.SSLCertVerificationError as exc:
        raise UnavailableError(f"{what} has no valid TLS certificate ({exc.verify_message})") from exc
    except (OSError, HTTPException, ValueError) as exc:
        raise UnavailableError(f"{what} does not answer ({type(exc).__name__})") from exc


def _exchange(
    target: Target, deadline: Deadline, most: int, body: bytes | None, headers: Mapping[str, str]
) -> Answer:
    connection = HTTPConnection(target.host, target.port)
    connection.default_port = _PORTS[target.scheme]  # omits the default port from the Host header
    with closing(_connect(target, deadline)) as connected, closing(connection):
        connection.sock = _Bounded(connected, deadline, most + _ENVELOPE)
        method = "GET" if body is None else "POST"
        connection.request(
            method, target.path, body, {"User-Agent": "audit-trail", "Connection": "close", **headers}
        )
        with connection.getresponse() as response:
            return _read(response, most)


def _read(response: HTTPResponse, most: int) -> Answer:
    body = response.read(most + 1)
    complete = len(body) <= most and not response.length
    return Answer(response.status, response.headers, body[:most], complete)


class _Bounded:
    """The socket interface that `http.client` uses. Each operation gets the time remaining until the deadline."""

    def __init__(self, connected: socket.socket, deadline: Deadline, most: int) -> None:
        self._socket = connected
        self._deadline = deadline
        self._most = most

    def sendall(self, data: bytes) -> None:
        """Send all data. With TLS, a socket's own `sendall` would restart its time-out for each part."""
        view = memoryview(data)
        while view:
            self._socket.settimeout(self._deadline.left())
            view = view[self._socket.send(view) :]

    def makefile(self, *_: object) -> io.BufferedReader:
        """The stream of the response."""
        return io.BufferedReader(_Reader(self._socket, self._deadline, self._most))

    def close(self) -> None:
        """Do nothing: `http.client` calls this before the response is read."""


class _Reader(io.RawIOBase):
    def __init__(self, connected: socket.socket, deadline: Deadline, most: int) -> None:
        self._socket = connected
        self._deadline = deadline
        self._left = most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._socket.settimeout(self._deadline.left())
        count = self._socket.recv_into(buffer)
        self._left -= count
        if self._left < 0:
            raise HTTPException("the response is too long")
        return count


def _connect(target: Target, deadline: Deadline) -> socket.socket:
    connected = _connect_first(_look_up(target.host, target.port, deadline), deadline)
    if target.scheme == "http":
        return connected
    try:
        connected.settimeout(deadline.left())  # covers the whole handshake
        return ssl.create_default_context().wrap_socket(connected, server_hostname=target.host)
    except BaseException:
        connected.close()
        raise


def _connect_first(addresses: list[Any], deadline: Deadline) -> socket.socket:
    """Connect to the first address that accepts. An address that does not react leaves time for the next ones."""
    refused: OSError | None = None
    for at, (family, kind, protocol, _, address) in enumerate(addresses):
        candidate = socket.socket(family, kind, protocol)
        try:
            left = deadline.left()
            candidate.settimeout(min(left, max(left / (len(addresses) - at), _MIN_ADDRESS_SECONDS)))
            candidate.connect(address)
            candidate.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as exc:
            candidate.close()
            refused = exc
            continue
        except BaseException:
            candidate.close()
            raise
        return candidate
    deadline.left()
    raise refused or OSError("the host has no address")


_MAX_LOOK_UPS = 16
"""Concurrent look-ups in one process. Each hanging one occupies a thread until the resolver gives up."""
_look_ups: dict[tuple[str, int], Future[list[Any]]] = {}
_look_ups_lock = threading.Lock()


def _look_up(host: str, port: int, deadline: Deadline) -> list[Any]:
    """The addresses of a host.

    The system's look-up has no time-out, so it runs in a thread, which is abandoned at the deadline. Callers for the
    same host share a thread. So a hanging resolver costs one thread per host, and at most `_MAX_LOOK_UPS`. Raises
    `OSError` beyond that.
    """
    with _look_ups_lock:
        found = _look_ups.get((host, port)) or _begin_look_up(host, port)
    return found.result(deadline.left())


def _begin_look_up(host: str, port: int) -> Future[list[Any]]:
    if len(_look_ups) >= _MAX_LOOK_UPS:
        raise OSError("too many name look-ups have not returned")
    found: Future[list[Any]] = Future()
    thread = threading.Thread(target=_resolve, args=(host, port, found), name="look-up", daemon=True)
    try:
        thread.start()
    except RuntimeError as exc:
        raise OSError("no thread for a name look-up") from exc
    _look_ups[host, port] = found
    return found


def _resolve(host: str, port: int, found: Future[list[Any]]) -> None:
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except BaseException as exc:  # noqa: BLE001 - the callers wait for a result, whatever the error is
        found.set_exception(exc if isinstance(exc, (OSError, ValueError)) else OSError(type(exc).__name__))
    else:
        found.set_result(addresses)
    finally:
        with _look_ups_lock:
            del _look_ups[host, port]
