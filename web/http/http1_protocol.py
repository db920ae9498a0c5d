"""uvicorn's HTTP/1.1 protocol with bounds on the size and the duration of requests."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from web.http.problems import problem

MAX_HEAD = 64 * 1024
"""Bytes of the request line and the headers. The parser itself has no limit."""
MAX_HEADERS = 1000
"""Headers of one request. Each look-up of a header walks all of them."""
FREE_CHUNKS = 1000
LEAST_CHUNK = 16
"""The least average size of a body's chunks, from the 1,000th on. A small chunk takes as much time as a large one."""
MAX_DISCARDED = 1 << 20
"""Bytes of a body that are read after its request was answered, to keep the connection."""
DISCARD_SECONDS = 20.0
"""Seconds for these bytes."""
MAX_REPLAYS = 10
"""Requests in one packet that ask for another protocol: each costs as much as a connection."""
HEAD_SECONDS = 20.0
"""Seconds from the first byte of the head to its last, and from the connection to the first."""


class BoundedProtocol(HttpToolsProtocol):
    """A connection. An invalid request is answered with a problem, and the connection is closed."""

    _status = HTTPStatus.BAD_REQUEST
    _head = 0
    _headers = 0
    _chunks = 0
    _body = 0
    _discarded = 0
    _unfinished = False
    """Whether the body of the request is still to come."""
    _discarding: asyncio.TimerHandle | None = None
    _open = False
    """Whether a head has started and is incomplete."""
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the deadline for the first head."""
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the deadlines."""
        self._arrived()
        self._finish()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the data. The parser reports a header only when it ends, so its bytes are counted here."""
        continued = self._open
        self._read(data)
        if self.transport.is_closing():
            return
        if self._open or self._is_idle():
            self._expect()
        if continued and self._open:
            self._head += len(data)
            if self._head > MAX_HEAD:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def _read(self, data: bytes) -> None:
        """Feed the parser. A request for another protocol, such as ``h2c``, is answered in HTTP/1.1.

        A server may ignore `Upgrade` (RFC 9110, section 7.8), but the parser takes what follows such a head for the
        other protocol. So the head is read again without it. Java's HTTP client sends one with each request.
        """
        self._unset_keepalive_if_required()
        replays = 0
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserError:
                self.send_400_response("")
            except httptools.HttpParserUpgrade as exc:
                if self._should_upgrade():
                    self.handle_websocket_upgrade()
                    return
                replays += 1
                # CONNECT asks for a tunnel, whatever its headers say.
                if self.parser.get_method() == b"CONNECT" or replays > MAX_REPLAYS:
                    self._refuse(HTTPStatus.BAD_REQUEST)
                    return
                data = self._head_without_upgrade() + data[exc.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
                continue
            return

    def _head_without_upgrade(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [self.parser.get_method() + b" " + self.url + b" HTTP/" + version]
        for name, value in self.headers:
            if name == b"connection":
                options = [each.strip() for each in value.split(b",")]
                kept = [each for each in options if each.lower() not in _UPGRADING]
                lines += [b"connection: " + b", ".join(kept)] if kept else []
            elif name not in _UPGRADING:
                lines.append(name + b": " + value)
        return b"\r\n".join([*lines, b"", b""])

    @property
    def _upgrades(self) -> bool:
        """Whether the head asks for a protocol that is not spoken here."""
        return self.parser.should_upgrade() and not self._should_upgrade()

    def on_message_begin(self) -> None:
        """Start counting a new request."""
        super().on_message_begin()
        self._head, self._headers, self._open = 0, 0, True
        self._chunks, self._body, self._discarded = 0, 0, 0

    def on_url(self, url: bytes) -> None:
        """Count the bytes of the address."""
        self._grow(len(url), HTTPStatus.REQUEST_URI_TOO_LONG)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count the header and its bytes."""
        self._headers += 1
        size = len(name) + len(value) if self._headers <= MAX_HEADERS else MAX_HEAD + 1
        self._grow(size, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """End the deadline of the head. A head that asks for another protocol is read again without that."""
        self._open = False
        self._arrived()
        if self._upgrades:
            return
        self._unfinished = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that the body is complete."""
        if self._upgrades:
            return
        self._finish()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Limit the time of a client that keeps sending a body after its answer."""
        super().on_response_complete()
        if self._unfinished and not self.transport.is_closing():
            self._discarding = self.loop.call_later(DISCARD_SECONDS, self.transport.close)

    def on_body(self, body: bytes) -> None:
        """Pass a part of the body on. Raises `ValueError`, which ends the connection, for a flood of small chunks."""
        self._chunks += 1
        self._body += len(body)
        if self._chunks > FREE_CHUNKS and self._body < LEAST_CHUNK * self._chunks:
            self._status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            raise ValueError("the body comes in too many small chunks")
        if not self._is_answering():
            self._discarded += len(body)
            if self._discarded > MAX_DISCARDED:
                self.transport.close()
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        """Send a problem in place of uvicorn's text."""
        del msg
        self._refuse(self._status)

    def _grow(self, size: int, status: HTTPStatus) -> None:
        self._head += size
        if self._head > MAX_HEAD:
            self._status = status
            raise ValueError(status.phrase)  # the parser stops, and its error becomes `send_400_response`

    def _is_idle(self) -> bool:
        """Whether the connection waits for a request. Any byte ends the base class's own keep-alive time-out."""
        return self in self.connections and not self._is_answering()

    def _is_answering(self) -> bool:
        cycle: Any = self.cycle  # None before the first request
        return cycle is not None and not cycle.response_complete

    def _expect(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(HEAD_SECONDS, self._waited)

    def _waited(self) -> None:
        self._late = None
        if self._is_answering():  # no second answer within the first
            self._expect()
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)

    def _arrived(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _finish(self) -> None:
        self._unfinished = False
        if self._discarding is not None:
            self._discarding.cancel()
            self._discarding = None

    def _refuse(self, status: HTTPStatus) -> None:
        if self.transport.is_closing():
            return
        answer = problem(status, _WORDS.get(status, "this is no HTTP/1.1"), headers={"Connection": "close"})
        lines = [f"HTTP/1.1 {status.value} {status.phrase}".encode()]
        headers: list[tuple[bytes, bytes]] = answer.raw_headers
        lines += [name + b": " + value for name, value in headers]
        body: Any = answer.body
        self.transport.write(b"\r\n".join([*lines, b"", b""]) + bytes(body))
        self.transport.close()


_UPGRADING = {b"upgrade", b"http2-settings"}
_WORDS = {
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: f"there may be {MAX_HEADERS} headers of {MAX_HEAD} bytes together",
    HTTPStatus.REQUEST_URI_TOO_LONG: f"the address may be {MAX_HEAD} bytes long",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: f"send a body in chunks of at least {LEAST_CHUNK} bytes",
    HTTPStatus.REQUEST_TIMEOUT: "the request did not arrive in time",
}
