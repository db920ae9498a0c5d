"""The small server on the metrics port of ingest, project, guard and watch: `/metrics`, `/livez` and `/readyz`.

A scraper and an orchestrator read it, and it must answer while the program itself hangs. So it has threads of its own,
needs no other process, and gives each connection only a few seconds.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import NamedTuple

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import choose_encoder

from domain.errors import AuditTrailError
from web.http.boot_id import HEADER, boot_id

_log = logging.getLogger(__name__)

Readiness = Callable[[], Sequence[str]]
"""Returns the problems that keep a process from its work, none when it is ready. It answers at once, from memory."""
State = Callable[[], str]
"""Returns the state of a process without problems in one word, such as `standby`."""

STARTING = "it is starting"
"""The problem of a part until it begins its work."""
REQUEST_SECONDS = 5.0
"""From the connection to the last byte of its answer."""
_MAX_HEAD = 8 * 1024
_MAX_CONNECTIONS = 16
"""At once. A new connection closes the oldest one, so that clients that keep connections open block nobody."""


class _Answer(NamedTuple):
    status: HTTPStatus
    media_type: str
    body: bytes


class Monitor:
    """The answers of the server of `part`. Until `watch` is called, the process is starting and not ready."""

    def __init__(self, part: str, registry: CollectorRegistry = REGISTRY) -> None:
        self._part = part
        self._registry = registry
        self._readiness: Readiness = lambda: [STARTING]
        self._state: State = lambda: "ready"

    def watch(self, readiness: Readiness, state: State = lambda: "ready") -> None:
        """Take readiness and state from these functions from now on."""
        self._readiness, self._state = readiness, state

    def answer(self, path: str, accept: str) -> _Answer:
        """The answer for `path`."""
        if path == "/metrics":
            encode, media_type = choose_encoder(accept)
            return _Answer(HTTPStatus.OK, media_type, encode(self._registry))
        if path == "/livez":
            return _json(HTTPStatus.OK, {"part": self._part, "status": "alive"})
        if path == "/readyz":
            problems = self._problems()
            status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
            state = "not ready" if problems else self._state()
            return _json(status, {"part": self._part, "status": state, "problems": problems})
        return _json(HTTPStatus.NOT_FOUND, {"detail": "there are /metrics, /livez and /readyz"})

    def _problems(self) -> list[str]:
        try:
            return list(self._readiness())
        except AuditTrailError as exc:
            return [str(exc)]


class MonitoringServer:
    """Answers on `listener` in threads of its own, until `close`."""

    def __init__(self, listener: socket.socket, monitor: Monitor, seconds: float = REQUEST_SECONDS) -> None:
        self._listener = listener
        self._monitor = monitor
        self._seconds = seconds
        self._open: dict[socket.socket, None] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._accept, name="monitoring", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no new connections."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except ConnectionAbortedError:
                continue
            except OSError as exc:
                if self._listener.fileno() < 0 or not _listens(self._listener):
                    return
                _log.warning(
                    "monitoring_connection_lost: %s", exc.strerror
                )  # no descriptor is left, for instance
                time.sleep(0.1)
                continue
            self._make_room(connection)
            threading.Thread(
                target=self._serve, args=(connection,), name="monitoring-connection", daemon=True
            ).start()

    def _make_room(self, connection: socket.socket) -> None:
        with self._lock:
            while len(self._open) >= _MAX_CONNECTIONS:
                oldest = next(iter(self._open))
                del self._open[oldest]
                with suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)
            self._open[connection] = None

    def _serve(self, connection: socket.socket) -> None:
        until = time.monotonic() + self._seconds
        try:
            with suppress(OSError):  # it went away, or was too slow
                head = _read_head(connection, until)
                connection.settimeout(max(0.001, until - time.monotonic()))
                connection.sendall(self._respond(head))
                connection.shutdown(socket.SHUT_WR)
        finally:
            with self._lock:
                self._open.pop(connection, None)
                connection.close()

    def _respond(self, head: bytes | None) -> bytes:
        lines = [] if head is None else head.decode("latin-1").split("\r\n")
        words = lines[0].split(" ") if lines else []
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return _encoded(_json(HTTPStatus.BAD_REQUEST, {"detail": "this is no HTTP/1.1 request"}))
        method, target, _ = words
        if method not in {"GET", "HEAD"}:
            return _encoded(_json(HTTPStatus.METHOD_NOT_ALLOWED, {"detail": "only GET and HEAD"}))
        accept = next((line[7:].strip() for line in lines if line.lower().startswith("accept:")), "")
        return _encoded(self._monitor.answer(target.partition("?")[0], accept), body=method == "GET")


def _listens(listener: socket.socket) -> bool:
    with suppress(OSError):
        return bool(listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    return False


def _read_head(connection: socket.socket, until: float) -> bytes | None:
    """The request line and the headers; None when they are too long or end early. Raises `TimeoutError`."""
    data = b""
    while b"\r\n\r\n" not in data:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        more = connection.recv(_MAX_HEAD)
        if not more or len(data) + len(more) > _MAX_HEAD:
            return None
        data += more
    return data.partition(b"\r\n\r\n")[0]


def _json(status: HTTPStatus, content: object) -> _Answer:
    return _Answer(status, "application/json", json.dumps(content, ensure_ascii=False).encode())


def _encoded(answer: _Answer, *, body: bool = True) -> bytes:
    head = (
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}\r\n"
        f"Content-Type: {answer.media_type}\r\nContent-Length: {len(answer.body)}\r\n"
        f"Cache-Control: no-store\r\n{HEADER}: {boot_id()}\r\nConnection: close\r\n"
    )
    if answer.status is HTTPStatus.METHOD_NOT_ALLOWED:
        head += "Allow: GET, HEAD\r\n"
    return head.encode() + b"\r\n" + (answer.body if body else b"")
