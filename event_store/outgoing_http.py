"""Outgoing HTTP: one request to one address, with limits on the total time and size.

One deadline covers the name look-up, the connection, TLS, the request, the headers and the body. The time-outs of
`http.client` and `urllib` apply to each read, so a server that sends one byte at a time could block the caller for
days.

It follows no redirects and ignores the proxies of the environment: a request goes where the setting says.
"""

from __future__ import annotations

import email.utils
import io
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import closing, contextmanager
from email.message import Message
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from domain.errors import ConfigurationError, ThrottledError, UnavailableError

_ENVELOPE = 256 << 10
"""The maximum of bytes for headers, interim responses and chunk framing together, in addition to the body."""
_MIN_ADDRESS_SECONDS = 1.0
"""Minimum seconds for each address of a host to accept the connection, if the deadline allows."""
_MAX_PAUSE_SECONDS = 900.0
"""The maximum pause: a server that asks for a longer one is asked again after this time."""
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
    tls: ssl.SSLContext | None = None,
) -> Answer:
    """POST `body` to `target`, or GET it without a body, and return the response, whatever its status.

    At most `most` bytes of the response body are read. `tls` has the certificates for https; by default the system's
    authorities are trusted. Raises `UnavailableError` when there is no response by `deadline`. The message begins with
    `what` and never contains the URL, which may be secret. Its cause is the error of the system.
    """
    with unanswered(what, deadline):
        return _exchange(target, deadline, most, body, headers or {}, tls)


@contextmanager
def unanswered(what: str, deadline: Deadline) -> Iterator[None]:
    """Translate the errors of a connection to `UnavailableError`; the message begins with `what`."""
    try:
        yield
    except TimeoutError as exc:
        raise UnavailableError(f"{what} did not answer within {deadline.seconds:g} s") from exc
    except ssl.SSLCertVerificationError as exc:
        raise UnavailableError(f"{what} has no valid TLS certificate ({exc.verify_message})") from exc
    except ssl.SSLError as exc:
        raise UnavailableError(f"{what} ended TLS ({exc.reason or type(exc).__name__})") from exc
    except (OSError, HTTPException, ValueError) as exc:
        raise UnavailableError(f"{what} does not answer ({type(exc).__name__})") from exc


def unavailable(answer: Answer, what: str) -> UnavailableError:
    """The error for a temporary status. `Retry-After` (RFC 9110, 10.2.3) is honoured within limits."""
    message = f"{what} answered {answer.status}"
    seconds = _retry_after(answer)
    if answer.status not in {429, 503} or seconds is None:
        return UnavailableError(message)
    return ThrottledError(message, min(max(seconds, 0.0), _MAX_PAUSE_SECONDS))


def _retry_after(answer: Answer) -> float | None:
    text = str(answer.headers.get("Retry-After", "")).strip()
    if text.isascii() and text.isdecimal():
        return float(text[:10])
    try:
        return email.utils.parsedate_to_datetime(text).timestamp() - time.time()
    except (TypeError, ValueError, OverflowError):
        return None


def _exchange(
    target: Target,
    deadline: Deadline,
    most: int,
    body: bytes | None,
    headers: Mapping[str, str],
    tls: ssl.SSLContext | None,
) -> Answer:
    connection = HTTPConnection(target.host, target.port)
    connection.default_port = _PORTS[target.scheme]  # omits the default port from the Host header
    with closing(connect(target, deadline, tls)) as connected, closing(connection):
        connection.sock = bounded = Bounded(connected, deadline, most + _ENVELOPE)
        method = "GET" if body is None else "POST"
        connection.request(
            method, target.path, body, {"User-Agent": "audit-trail", "Connection": "close", **headers}
        )
        with connection.getresponse() as response:
            if bounded.ended:  # `http.client` takes the end of the connection for the end of the headers
                raise HTTPException("the response ends in its headers")
            return _read(response, most)


def _read(response: HTTPResponse, most: int) -> Answer:
    body = response.read(most + 1)
    complete = len(body) <= most and not response.length
    return Answer(response.status, response.headers, body[:most], complete)


def send_all(connected: socket.socket, data: bytes, deadline: Deadline) -> None:
    """Send all data. With TLS, a socket's own `sendall` would restart its time-out for each part."""
    view = memoryview(data)
    while view:
        connected.settimeout(deadline.left())
        view = view[connected.send(view) :]


class Bounded:
    """The socket interface that `http.client` and `smtplib` use.

    Each operation gets the time remaining until the deadline. At most `most` bytes are read.
    """

    def __init__(self, connected: socket.socket, deadline: Deadline, most: int) -> None:
        self._socket = connected
        self._deadline = deadline
        self._reader = _Reader(connected, deadline, most)

    @property
    def ended(self) -> bool:
        """Whether the server has ended the connection, as far as was read."""
        return self._reader.ended

    def sendall(self, data: bytes) -> None:
        """Send all data."""
        send_all(self._socket, data, self._deadline)

    def makefile(self, *_: object) -> io.BufferedReader:
        """The stream of the response."""
        return io.BufferedReader(self._reader)

    def close(self) -> None:
        """Do nothing: `http.client` calls this before the response is read. The caller closes the socket."""


class _Reader(io.RawIOBase):
    def __init__(self, connected: socket.socket, deadline: Deadline, most: int) -> None:
        self._socket = connected
        self._deadline = deadline
        self._left = most
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._socket.settimeout(self._deadline.left())
        count = self._socket.recv_into(buffer)
        self._left -= count
        self.ended = count == 0
        if self._left < 0:
            raise HTTPException("the response is too long")
        return count


def connect(target: Target, deadline: Deadline, tls: ssl.SSLContext | None = None) -> socket.socket:
    """A connection to `target`, whose path does not matter; with https it is TLS, and the host's name is checked.

    Raises `TimeoutError` at the deadline, and `OSError`. The caller closes it.
    """
    if target.scheme == "http":
        return open_tcp(target.host, target.port, deadline)
    return open_tls(target.host, target.port, deadline, tls or ssl.create_default_context())


def open_tcp(host: str, port: int, deadline: Deadline) -> socket.socket:
    """A connection to the first address of `host` that accepts one. The caller closes it.

    Raises `OSError`: `TimeoutError` at the deadline, `socket.gaierror` when the name has no address.
    """
    return _connect_first(look_up(host, port, deadline), deadline)


def open_tls(
    host: str, port: int, deadline: Deadline, context: ssl.SSLContext, server_name: str = ""
) -> ssl.SSLSocket:
    """A connection with TLS, after the handshake; `server_name` is the name in the certificate, else `host`.

    Raises the errors of `open_tcp`, and `ssl.SSLError`.
    """
    connected = open_tcp(host, port, deadline)
    try:
        connected.settimeout(deadline.left())  # covers the whole handshake
        return context.wrap_socket(connected, server_hostname=server_name or host)
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
_look_ups_changed = threading.Condition()


def look_up(host: str, port: int, deadline: Deadline) -> list[Any]:
    """The addresses of a host.

    The system's look-up has no time-out, so it runs in a thread, which is abandoned at the deadline. Callers for the
    same host share a thread. So a hanging resolver costs one thread per host, and at most `_MAX_LOOK_UPS`; a caller
    beyond that waits until one ends. An address needs no look-up, and no place. Raises `OSError`, and `TimeoutError`
    at the deadline.
    """
    if _is_address(host):
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    with _look_ups_changed:
        while (found := _look_ups.get((host, port))) is None and len(_look_ups) >= _MAX_LOOK_UPS:
            _look_ups_changed.wait(deadline.left())
        found = found or _begin_look_up(host, port)
    return found.result(deadline.left())


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _begin_look_up(host: str, port: int) -> Future[list[Any]]:
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
        with _look_ups_changed:
            del _look_ups[host, port]
            _look_ups_changed.notify_all()
