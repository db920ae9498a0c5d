"""An issuer on a socket."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.tokens import JWK


class Issuer:
    """An issuer on a socket; `keys` is what it answers, `asked` how often it was asked for them.

    An answer takes `delay` seconds.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.keys: Any = [JWK]
        self.status = 200
        self.claims_to_be = self.url
        self.asked = 0
        self.delay = 0.0

    def answer(self, path: str) -> tuple[int, bytes]:
        """The status and the body of an answer."""
        if path == "/.well-known/openid-configuration":
            return 200, json.dumps({"issuer": self.claims_to_be, "jwks_uri": f"{self.url}/keys"}).encode()
        self.asked += 1
        body = self.keys if isinstance(self.keys, bytes) else json.dumps({"keys": self.keys}).encode()
        time.sleep(self.delay)
        return self.status, body


@contextmanager
def issuing() -> Iterator[Issuer]:
    """An issuer that runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = running.answer(self.path)
            self.send_response(status)
            if status == 302:
                self.send_header("Location", f"{running.url}/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        running = Issuer(server.server_port)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield running
        finally:
            server.shutdown()
            thread.join()
