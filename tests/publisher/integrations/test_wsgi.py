"""The WSGI middleware records each request of a Flask application, on a real WSGI server."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from flask import Flask, Response, abort, request, stream_with_context
from werkzeug.test import Client as Caller

from audit_trail_publisher import AuditEvent, Outcome, Publisher, Trail
from audit_trail_publisher.errors import SpoolFullError
from audit_trail_publisher.testing import CapturedTrail
from audit_trail_publisher.web.request_record import identify
from audit_trail_publisher.web.wsgi import AuditMiddleware
from tests.waiting import eventually

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


def clinic(trail: Trail) -> Flask:
    app = Flask("clinic")

    @app.before_request
    def authenticate() -> None:
        """Stands for an application's own check of a token."""
        if request.path != "/healthz":
            if request.headers.get("Authorization") != "ada":
                abort(401)
            identify({"sub": "ada", "name": "Dr Ada", "sid": "s-1"})

    @app.get("/patients/<id>")
    def patient(id: str) -> str:
        trail.record.read(patient=id, resource=("Patient", id))
        return id

    @app.get("/defect")
    def defect() -> str:
        raise LookupError("patient 4711")

    @app.get("/stream")
    def stream() -> Response:
        def chunks() -> Iterator[str]:
            for at in range(50):
                # The context of the request holds while the response is made.
                trail.record.read(resource=("Page", str(at)))
                yield "x" * 100_000
                if "breaks" in request.args:
                    raise LookupError("patient 4711")

        return Response(stream_with_context(chunks()))

    @app.get("/healthz")
    def healthz() -> str:
        return "ok"

    return app


@pytest.fixture(scope="module")
def trail() -> CapturedTrail:
    return CapturedTrail("patient-service")


@pytest.fixture(scope="module")
def port(trail: CapturedTrail) -> Iterator[int]:
    app = AuditMiddleware(clinic(trail).wsgi_app, trail, proxies=["127.0.0.1"], skip=["/healthz"])
    with make_server("127.0.0.1", 0, app, handler_class=Quiet) as server:
        server.set_app(app)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


class Client:
    def __init__(self, port: int) -> None:
        self._port = port

    def get(
        self, path: str, read: int | None = None, method: str = "GET", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)) as connection:
            connection.request(method, path, headers={"Authorization": "ada"} | (headers or {}))
            response = connection.getresponse()
            return response.status, response.read(read)


@pytest.fixture
def client(port: int, trail: CapturedTrail) -> Client:
    trail.clear()
    return Client(port)


def request_of(event: AuditEvent) -> tuple[str | None, str | None, int | None]:
    assert event.request is not None
    return event.request.method, event.request.path, event.request.status


def test_all_events_of_a_request_share_its_actor_session_client_and_trace(
    client: Client, trail: CapturedTrail
) -> None:
    headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "X-Forwarded-For": "6.6.6.6, 203.0.113.9"}
    assert client.get("/patients/17?q=secret", headers=headers) == (200, b"17")
    for event in (trail.only("record.read", patient="17"), trail.only("api.called")):
        assert (event.actor.id, event.session, event.correlation_id) == ("ada", "s-1", TRACE)
        assert event.client is not None
        assert event.client.address == "203.0.113.9"
    assert request_of(trail.only("api.called")) == ("GET", "/patients/17", 200)
    assert "secret" not in repr(trail.events)


def test_denied_and_failed_requests_are_recorded(client: Client, trail: CapturedTrail) -> None:
    client.get("/patients/17", headers={"Authorization": "mallory"})
    client.get("/defect")
    client.get("/nowhere")
    assert [(event.type, request_of(event)[2], event.outcome) for event in trail.events] == [
        ("access.denied", 401, Outcome.MINOR_FAILURE),
        ("api.called", 500, Outcome.SERIOUS_FAILURE),
        ("api.called", 404, Outcome.MINOR_FAILURE),
    ]
    assert "patient 4711" not in repr(trail.events)


def test_the_context_ends_with_its_request(client: Client, trail: CapturedTrail) -> None:
    client.get("/patients/17")
    client.get("/patients/17", headers={"Authorization": "mallory"})
    assert [event.actor.id for event in trail.events] == ["ada", "ada", None]


def test_head_and_skipped_paths(client: Client, trail: CapturedTrail) -> None:
    client.get("/healthz")
    assert trail.events == []
    client.get("/patients/17", method="HEAD")
    assert request_of(trail.only("api.called")) == ("HEAD", "/patients/17", 200)


@pytest.mark.parametrize(
    ("path", "read", "reason"),
    [
        ("/stream?breaks", None, "LookupError"),
        ("/stream", 10, "the client left before the response was complete"),
    ],
)
def test_a_response_that_breaks_off_gets_a_second_event(
    client: Client, trail: CapturedTrail, path: str, read: int | None, reason: str
) -> None:
    client.get(path, read)
    eventually(lambda: len(trail.matching("api.called")) == 2)
    first, second = trail.matching("api.called")
    assert (first.outcome, second.outcome_reason) == (Outcome.SUCCESS, reason)
    assert first.correlation_id == second.correlation_id
    pages = trail.matching("record.read")
    assert {event.correlation_id for event in pages} == {first.correlation_id}
    assert {event.actor.id for event in trail.events} == {"ada"}


def test_a_response_whose_event_can_not_be_kept_is_refused(tmp_path: Path) -> None:
    with closing(
        Publisher("patient-service", url="http://127.0.0.1:1", spool=tmp_path, max_spool_bytes=1)
    ) as full:
        app = clinic(CapturedTrail())
        app.wsgi_app = AuditMiddleware(app.wsgi_app, full)  # type: ignore[method-assign]
        refused = app.test_client().get("/patients/17", headers={"Authorization": "ada"})
        assert (refused.status_code, refused.data, refused.headers["Retry-After"]) == (503, b"", "5")
        app = clinic(CapturedTrail())
        app.wsgi_app = AuditMiddleware(app.wsgi_app, full, on_unrecorded="answer")  # type: ignore[method-assign]
        assert app.test_client().get("/patients/17", headers={"Authorization": "ada"}).data == b"17"


@pytest.mark.parametrize("framework", ["Flask", "an application that raises", "a generator"])
def test_an_application_whose_own_event_can_not_be_kept_is_refused(tmp_path: Path, framework: str) -> None:
    with closing(
        Publisher("patient-service", url="http://127.0.0.1:1", spool=tmp_path, max_spool_bytes=1)
    ) as full:

        def raises(_: Any, __: Any) -> Any:
            full.record.read(resource=("Page", "1"), actor="ada")

        def generates(_: Any, start_response: Any) -> Iterator[bytes]:
            start_response("200 OK", [])
            full.record.read(resource=("Page", "1"), actor="ada")
            yield b"17"

        app: Any = {"Flask": clinic(full).wsgi_app, "a generator": generates}.get(framework, raises)
        ada = {"Authorization": "ada"}
        refused = Caller(AuditMiddleware(app, full)).get("/patients/17", headers=ada)
        assert (refused.status_code, refused.data, refused.headers["Retry-After"]) == (503, b"", "5")
        answered = AuditMiddleware(app, full, on_unrecorded="answer")
        if framework == "Flask":
            assert Caller(answered).get("/patients/17", headers=ada).status_code == 500
        else:
            with pytest.raises(SpoolFullError):
                Caller(answered).get("/patients/17", headers=ada)
