"""A proxy in front of the API that is away at first, loses an answer, and once asks for a pause."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RETRY_AFTER = 1


class FlakyProxy(ThreadingHTTPServer):
    """Nothing listens until `open`. Then it forwards to `port`, with two faults.

    The answer to the first request that is accepted is lost: the sender can't know that. The next request is answered
    with 503 and `Retry-After`. `statuses` are the answers; `pause` is how long the sender waited after the 503.
    """

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Forward, bind_and_activate=False)
        self.upstream = port
        self.statuses: list[int] = []
        self.pause = 0.0
        self.away_at: float | None = None
        self.server_bind()
        self._thread = threading.Thread(target=self.serve_forever)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def open(self) -> None:
        """Listen from now on."""
        self.server_activate()
        self._thread.start()

    def end(self) -> None:
        if self._thread.is_alive():
            self.shutdown()
            self._thread.join()
        self.server_close()


class _Forward(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FlakyProxy

    def do_POST(self) -> None:
        proxy = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if proxy.away_at is not None and not proxy.pause:
            proxy.pause = time.monotonic() - proxy.away_at
        if proxy.statuses.count(202) == 1 and 503 not in proxy.statuses:
            proxy.away_at = time.monotonic()
            self._answer(503, b"", {"Retry-After": str(RETRY_AFTER)})
            return
        with closing(http.client.HTTPConnection("127.0.0.1", proxy.upstream, timeout=30)) as upstream:
            upstream.request("POST", self.path, body, dict(self.headers))
            answer = upstream.getresponse()
            said = answer.read()
        if answer.status == 202 and 202 not in proxy.statuses:
            proxy.statuses.append(202)
            self.close_connection = True  # the answer is lost
            return
        self._answer(answer.status, said, {"Content-Type": answer.headers["Content-Type"]})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.server.statuses.append(status)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def flaky_proxy(port: int) -> Iterator[FlakyProxy]:
    """A proxy that is not open yet."""
    proxy = FlakyProxy(port)
    try:
        yield proxy
    finally:
        proxy.end()
