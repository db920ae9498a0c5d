"""What the witness's readiness says, from memory."""

from __future__ import annotations

import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from audit_trail import witness_health
from audit_trail.embedded.broker import LOOPBACK, free_ports
from audit_trail.witness_health import WitnessHealth, require_answer
from tests.audit_trail.programs import eventually


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_it_is_ready_once_the_port_answers() -> None:
    (port,) = free_ports(1)
    health = WitnessHealth([partial(require_answer, LOOPBACK, port)], interval=0.05)
    expected = [f"the witness at port {port} does not answer (ConnectionRefusedError)"]
    assert eventually(lambda: health.problems() == expected), health.problems()
    with HTTPServer((LOOPBACK, port), Healthy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert eventually(lambda: health.problems() == []), health.problems()
        server.shutdown()


def test_a_check_that_hangs_is_said_and_waited_for_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(witness_health, "_OVERDUE_SECONDS", 0.1)
    released = threading.Event()

    def wait() -> None:
        released.wait(60)

    health = WitnessHealth([wait], interval=0.05)
    assert health.problems()[0] == "it is starting"
    assert eventually(lambda: "have not ended" in health.problems()[-1]), health.problems()
    released.set()
    assert eventually(lambda: health.problems() == []), health.problems()
