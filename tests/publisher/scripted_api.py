"""An API of the trail that answers what a test tells it to, for the answers that the real one gives only in trouble."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

Event = dict[str, Any]


class Said(NamedTuple):
    """An answer: status, body as JSON, and headers."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = {}


Script = Callable[[Sequence[Event]], Said]


def accept(events: Sequence[Event]) -> Said:
    """All is accepted."""
    items = [{"index": at, "event_id": event["event_id"]} for at, event in enumerate(events)]
    return Said(202, {"accepted": len(items), "rejected": 0, "events": items})


def problem(status: int, **headers: str) -> Said:
    """A problem, with headers such as `Retry_After`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Said(
        status, {"title": "problem", "status": status, "detail": f"told so by the test ({status})"}, named
    )


class ScriptedApi:
    """`batches` has the events of each request, `tokens` their credentials. `script` is asked what to answer.

    The answers in `first` are given before those of the script.
    """

    def __init__(self) -> None:
        self.batches: list[list[Event]] = []
        self.tokens: list[str | None] = []
        self.connections = 0
        self.first: list[Said | Script] = []
        self.script: Script = accept
        self.accepted: list[Event] = []
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def say(self, events: list[Event], token: str | None) -> Said:
        """The answer to a request."""
        self.batches.append(events)
        self.tokens.append(token)
        said = self.first.pop(0) if self.first else self.script
        if not isinstance(said, Said):
            said = said(events)
        if said.status == 202:
            taken = {item["index"] for item in said.body["events"] if "event_id" in item}
            self.accepted += [event for at, event in enumerate(events) if at in taken]
        return said

    def close(self) -> None:
        """End it, with its connections."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *args: Any) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is killed, or gives up, is what some tests are about."""

    def server_close(self) -> None:
        super().server_close()
        for connection in self._open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


def _handler(api: ScriptedApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            api.connections += 1
            super().setup()

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            said = api.say(body, self.headers["Authorization"])
            answer = json.dumps(said.body).encode()
            self.send_response(said.status)
            for name, value in {"Content-Length": str(len(answer)), **said.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


@contextmanager
def scripted_api() -> Iterator[ScriptedApi]:
    """An API until the end of the block."""
    api = ScriptedApi()
    try:
        yield api
    finally:
        api.close()
