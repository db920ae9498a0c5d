"""Outgoing HTTP: one request to one address, bounded in time and size as a whole.

One deadline covers the name look-up, the connection, TLS, the request, the headers and the body. The time-outs of
`http.client` and `urllib` count from each read, so a server that sends one byte at a time holds their caller for days.

Redirects are not followed, and proxies that the environment names are not used: a request goes where the setting says.
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
"""Bytes that all headers, interim responses and the framing of chunks may have together, beside the body."""
_LEAST_FOR_ADDRESS = 1.0
"""Seconds that each address of a host gets to accept the connection, as far as the deadline allows."""
_PORTS = {"http": 80, "https": 443}


class Target(NamedTuple):
    """Where a request goes. `path` includes the query."""

    scheme: str
    host: str
    port: int
    path: str

    def under(self, path: str) -> Target:
        """The target with `path` below this one's; its query is dropped."""
        return self._replace(path=f"{self.path.partition('?')[0].rstrip('/')}/{path}")


class Answer(NamedTuple):
    """A response. `complete` is False when `body` is only the beginning: it was too long, or the server cut it off."""

    status: int
    headers: Message
    body: bytes
    complete: bool


class Deadline:
    """A moment by which a piece of work has to end."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._until = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds that are left, more than 0. Raises `TimeoutError` when none are."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left


def parse_target(url: str, what: str) -> Target:
    """The parts of an http or https URL. `what` names its setting.

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
    """POST `body` to `target`, or GET it when there is none, and return the answer, whatever its status.

    At most `most` bytes of the answer's body are read. Raises `UnavailableError` when there is no answer by `deadline`;
    its message begins with `what` and never holds the URL, which may be secret.
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
    connection.default_port = _PORTS[target.scheme]  # leaves the usual port out of the Host header
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
    """The part of a socket that `http.client` uses; each operation gets the time that is left before the deadline."""

    def __init__(self, connected: socket.socket, deadline: Deadline, most: int) -> None:
        self._socket = connected
        self._deadline = deadline
        self._most = most

    def sendall(self, data: bytes) -> None:
        """As a socket's. With TLS a socket's own would count its time-out anew for each part."""
        view = memoryview(data)
        while view:
            self._socket.settimeout(self._deadline.left())
            view = view[self._socket.send(view) :]

    def makefile(self, *_: object) -> io.BufferedReader:
        """What the response is read from."""
        return io.BufferedReader(_Reader(self._socket, self._deadline, self._most))

    def close(self) -> None:
        """Nothing: `http.client` calls this while the response is still to be read."""


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
            raise HTTPException("the answer is too long")
        return count


def _connect(target: Target, deadline: Deadline) -> socket.socket:
    connected = _connect_first(_look_up(target.host, target.port, deadline), deadline)
    if target.scheme == "http":
        return connected
    try:
        connected.settimeout(deadline.left())  # the handshake as a whole ends by it
        return ssl.create_default_context().wrap_socket(connected, server_hostname=target.host)
    except BaseException:
        connected.close()
        raise


def _connect_first(addresses: list[Any], deadline: Deadline) -> socket.socket:
    """Connect to the first address that accepts. One that does not react leaves time for those after it."""
    refused: OSError | None = None
    for at, (family, kind, protocol, _, address) in enumerate(addresses):
        candidate = socket.socket(family, kind, protocol)
        try:
            left = deadline.left()
            candidate.settimeout(min(left, max(left / (len(addresses) - at), _LEAST_FOR_ADDRESS)))
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


_MOST_LOOK_UPS = 16
"""Look-ups under way in one process. Each that hangs costs a thread until the resolver gives up."""
_look_ups: dict[tuple[str, int], Future[list[Any]]] = {}
_looking_up = threading.Lock()


def _look_up(host: str, port: int, deadline: Deadline) -> list[Any]:
    """The addresses of a host.

    The system's look-up has no time-out, so it runs in a thread of its own, which is left behind at the deadline. A
    second caller for the same host waits for the same thread, so that a resolver that hangs costs one thread for each
    host, and at most `_MOST_LOOK_UPS`. Raises `OSError` beyond that.
    """
    with _looking_up:
        found = _look_ups.get((host, port)) or _begin_look_up(host, port)
    return found.result(deadline.left())


def _begin_look_up(host: str, port: int) -> Future[list[Any]]:
    if len(_look_ups) >= _MOST_LOOK_UPS:
        raise OSError("too many name look-ups have not returned")
    found: Future[list[Any]] = Future()
    thread = threading.Thread(target=_ask_resolver, args=(host, port, found), name="look-up", daemon=True)
    try:
        thread.start()
    except RuntimeError as exc:
        raise OSError("no thread for a name look-up") from exc
    _look_ups[host, port] = found
    return found


def _ask_resolver(host: str, port: int, found: Future[list[Any]]) -> None:
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except BaseException as exc:  # noqa: BLE001 - whatever it is, the callers wait for it
        found.set_exception(exc if isinstance(exc, (OSError, ValueError)) else OSError(type(exc).__name__))
    else:
        found.set_result(addresses)
    finally:
        with _looking_up:
            del _look_ups[host, port]
