"""The server on the metrics port: it says what is wrong, and no client keeps another one out."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Gauge

from audit_trail.embedded.broker import free_ports
from audit_trail.runtime.metrics_server import Monitor, MonitoringServer
from domain.errors import UnavailableError
from tests.audit_trail.programs import eventually, run, running
from web.http.listening_socket import listen


@pytest.fixture
def monitor() -> Monitor:
    registry = CollectorRegistry()
    Gauge("a_number", "A number.", registry=registry).set(17)
    return Monitor("ingest", registry)


@pytest.fixture
def address(monitor: Monitor) -> Iterator[tuple[str, int]]:
    listener = listen("127.0.0.1", 0)
    server = MonitoringServer(listener, monitor, seconds=2.0)
    yield listener.getsockname()
    server.close()


def get(address: tuple[str, int], path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{address[1]}{path}", timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def send(address: tuple[str, int], data: bytes) -> bytes:
    with socket.create_connection(address, timeout=20) as client:
        client.sendall(data)
        answer = b""
        while more := client.recv(65536):
            answer += more
        return answer


def test_it_serves_metrics_and_says_that_it_is_alive(address: tuple[str, int]) -> None:
    status, text = get(address, "/metrics")
    assert (status, "a_number 17.0" in text) == (200, True)
    assert get(address, "/livez") == (200, '{"part": "ingest", "status": "alive"}')
    assert get(address, "/elsewhere")[0] == 404


def test_readiness_is_the_problems_in_words(monitor: Monitor, address: tuple[str, int]) -> None:
    status, text = get(address, "/readyz")
    not_ready = {"part": "ingest", "status": "not ready"}
    assert (status, json.loads(text)) == (503, not_ready | {"problems": ["it is starting"]})
    problems = ["Kafka is away", "the database is away"]
    monitor.watch(lambda: problems)
    assert json.loads(get(address, "/readyz")[1]) == not_ready | {"problems": problems}
    problems = []
    assert get(address, "/readyz?verbose") == (200, '{"part": "ingest", "status": "ready", "problems": []}')
    monitor.watch(list, lambda: "standby")
    assert get(address, "/readyz") == (200, '{"part": "ingest", "status": "standby", "problems": []}')


def test_a_question_that_fails_is_a_problem(monitor: Monitor, address: tuple[str, int]) -> None:
    def fails() -> list[str]:
        raise UnavailableError("the database is away")

    monitor.watch(fails)
    status, text = get(address, "/readyz")
    assert (status, json.loads(text)["problems"]) == (503, ["the database is away"])


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"HEAD /livez HTTP/1.1\r\n\r\n", b"200 OK"),
        (b"POST /livez HTTP/1.1\r\n\r\n", b"405 Method Not Allowed"),
        (b"nonsense\r\n\r\n", b"400 Bad Request"),
        (b"GET /livez HTTP/1.1\r\nA: " + b"a" * 9000 + b"\r\n\r\n", b"400 Bad Request"),
        (b"\x16\x03\x01\r\n\r\n", b"400 Bad Request"),
    ],
)
def test_other_requests_are_answered_too(address: tuple[str, int], request_: bytes, status: bytes) -> None:
    answer = send(address, request_)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert (b"alive" in answer) is False


def test_clients_that_drip_or_never_ask_keep_nobody_out(address: tuple[str, int]) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(address, timeout=20)) for _ in range(40)]
        for client in slow:
            client.sendall(b"GET /met")
        assert get(address, "/livez")[0] == 200
        # The last ones are still there, and are let go when their time is over, even while they send.
        last = slow[-1]
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                last.sendall(b"x")
            except OSError:
                break
            time.sleep(0.1)
        else:
            pytest.fail("a client that drips is never let go")
        assert get(address, "/metrics")[0] == 200


@pytest.mark.parametrize("command", ["ingest", "project", "guard", "forward run"])
def test_a_metrics_port_that_is_taken_is_said_in_words(command: str, migrated_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run(*command.split(" "), settings={"database_url": migrated_url, "metrics_port": str(port)})
    assert ended.returncode == 2
    assert f"can't serve at 127.0.0.1:{port}: Address already in use" in ended.stderr
    assert "set AUDIT_TRAIL_METRICS_PORT to another port" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "a" * 300, "::ffff:300.1.1.1"])
def test_a_bind_address_that_is_none_is_said_in_words(host: str, migrated_url: str) -> None:
    settings = {"database_url": migrated_url, "metrics_port": "9123", "metrics_host": host}
    ended = run("project", settings=settings)
    assert ended.returncode == 2
    assert ended.stderr.startswith("audit-trail: ")
    assert "set AUDIT_TRAIL_METRICS_HOST to an address of this machine" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_health_takes_no_other_part_or_program_for_the_one_it_asks(
    projected_url: str, tmp_path: Path
) -> None:
    project, guard = (
        {
            "database_url": projected_url,
            "kafka_bootstrap_servers": "127.0.0.1:1",
            "heads_topic": "",
            "metrics_port": str(port),
        }
        for port in free_ports(2)
    )
    with running(tmp_path, "project", settings=project), running(tmp_path, "guard", settings=guard):
        for part, settings in (("project", project), ("guard", guard)):
            assert eventually(partial(is_healthy, part, settings)), run(
                "health", part, settings=settings
            ).stderr
        port = project["metrics_port"]
        crossed = {"guard": project, "serve": project | {"http_port": port}, "custom": project}
        for part, settings in crossed.items():
            refused = run("health", part, settings=settings)
            setting = "HTTP_PORT" if part == "serve" else "METRICS_PORT"
            assert (refused.returncode, refused.stdout) == (2, "")
            assert refused.stderr == (
                f"audit-trail: project answers at port {port}, not {part}:"
                f" set AUDIT_TRAIL_{setting} to the port of {part}\n"
            )
    with foreign_program() as foreign:
        refused = run("health", "guard", settings=guard | {"metrics_port": str(foreign.server_port)})
    assert refused.returncode == 2
    assert f"another program answers at port {foreign.server_port}, not guard" in refused.stderr


def is_healthy(part: str, settings: Mapping[str, str]) -> bool:
    return run("health", part, settings=settings).stdout == "ok\n"


def foreign_program() -> HTTPServer:
    """A program of somebody else that answers every request with 200, until it is closed."""

    class Fine(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

    server = HTTPServer(("127.0.0.1", 0), Fine)
    threading.Thread(target=server.handle_request, daemon=True).start()
    return server
