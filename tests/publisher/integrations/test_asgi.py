"""The ASGI middleware and the FastAPI dependency record each request, with its actor and origin, on a real uvicorn."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import Depends, FastAPI, Header, HTTPException, WebSocket
from fastapi.responses import PlainTextResponse, StreamingResponse
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from audit_trail_publisher import UNKNOWN_ACTOR, Actor, ActorKind, AuditEvent, Outcome, Publisher, Trail
from audit_trail_publisher.errors import SpoolFullError
from audit_trail_publisher.spool.spool import FILE
from audit_trail_publisher.testing import CapturedTrail
from audit_trail_publisher.web.asgi import AuditMiddleware, path_with_query
from audit_trail_publisher.web.fastapi import identified, trail_as
from audit_trail_publisher.web.request_record import identify
from tests.publisher.integrations import leaving
from tests.publisher.integrations.serving import serving
from tests.waiting import eventually

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
ADA = {"Authorization": "ada"}
DR_ADA = Actor(id="ada", name="Dr Ada", roles=("physician",))
LEFT = "the client left before the response was complete"


@identified
def verified_claims(authorization: Annotated[str, Header()] = "") -> dict[str, Any]:
    """Stands for an application's own check of a token."""
    if authorization != "ada":
        raise HTTPException(401)
    return {"sub": "ada", "name": "Dr Ada", "roles": ["physician"], "sid": "s-1"}


def administrator(claims: Annotated[dict[str, Any], Depends(verified_claims)]) -> None:
    """Stands for an application's own check of a role."""
    if "administrator" not in claims["roles"]:
        raise HTTPException(403)


TRAIL = CapturedTrail("patient-service")
CurrentTrail = Annotated[Trail, Depends(trail_as(TRAIL, verified_claims))]


class Service:
    """A service with routes of every kind."""

    def __init__(self) -> None:
        self.app = app = FastAPI()
        self.held = threading.Event()
        self.release = threading.Event()

        @app.get("/patients/{id}")
        async def patient(id: str, audit: CurrentTrail) -> str:
            await audit.aio.record.read(patient=id, resource=("Patient", id))
            return id

        @app.get("/in-a-thread/{id}")
        def in_a_thread(id: str, audit: CurrentTrail) -> str:
            audit.record.read(patient=id, resource=("Patient", id))
            return id

        @app.post("/notes")
        async def note(text: dict[str, str]) -> str:
            return text["note"]

        @app.get("/denied")
        async def denied(_: Annotated[dict[str, Any], Depends(verified_claims)]) -> None:
            raise HTTPException(403)

        @app.delete("/patients/{id}", dependencies=[Depends(administrator)])
        def delete(id: str, audit: CurrentTrail) -> None:
            audit.record.deleted(patient=id, resource=("Patient", id))

        @app.get("/defect")
        async def defect() -> None:
            raise LookupError("patient 4711")

        @app.get("/stream")
        async def stream(breaks: bool = False) -> StreamingResponse:
            return StreamingResponse(self._chunks(breaks=breaks), media_type="text/plain")

        @app.get("/events")
        async def events() -> StreamingResponse:
            return StreamingResponse(self._chunks(breaks=False), media_type="text/event-stream")

        @app.get("/slow")
        async def slow() -> PlainTextResponse:
            await self._hold()
            return PlainTextResponse("late")

        @app.get("/healthz")
        async def healthz() -> str:
            return "ok"

        self._add_sockets()

    def _add_sockets(self) -> None:
        @self.app.websocket("/socket")
        async def talk(socket: WebSocket) -> None:
            identify("ada")
            await socket.accept()
            await socket.receive_text()
            await socket.close()

        @self.app.websocket("/refused")
        async def refuse(socket: WebSocket) -> None:
            await socket.close()

    async def _hold(self) -> None:
        self.held.set()
        await asyncio.to_thread(self.release.wait, 10)

    async def _chunks(self, *, breaks: bool) -> AsyncIterator[bytes]:
        yield b"first"
        if breaks:
            raise LookupError("patient 4711")
        await self._hold()
        for _ in range(100):
            yield b"more"
            await asyncio.sleep(0)


@pytest.fixture
def trail() -> CapturedTrail:
    TRAIL.clear()
    return TRAIL


@pytest.fixture(scope="module")
def service() -> Service:
    service = Service()
    service.app.add_middleware(
        AuditMiddleware, trail=TRAIL, proxies=["127.0.0.0/8", "10.0.0.0/8"], skip=["/healthz", "/static/"]
    )
    return service


@pytest.fixture(scope="module")
def server(service: Service) -> Iterator[httpx2.Client]:
    with serving(service.app) as client:
        yield client


@pytest.fixture
def client(server: httpx2.Client, service: Service) -> httpx2.Client:
    service.held.clear()
    service.release.clear()
    return server


def request_of(event: AuditEvent) -> tuple[str | None, str | None, int | None]:
    assert event.request is not None
    return event.request.method, event.request.path, event.request.status


def leave(client: httpx2.Client, path: str, service: Service) -> None:
    """Ask for `path` and go; then the service goes on."""
    leaving.leave(client, path, service.held)
    service.release.set()


@pytest.mark.parametrize("path", ["/patients/17", "/in-a-thread/17"])
def test_all_events_of_a_request_share_its_actor_session_client_and_trace(
    client: httpx2.Client, trail: CapturedTrail, path: str
) -> None:
    headers = {
        "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01",
        "X-Forwarded-For": "6.6.6.6, 203.0.113.9, 10.1.2.3",
        "User-Agent": "portal/2",
    }
    assert client.get(f"{path}?q=secret", headers=ADA | headers).json() == "17"
    record, call = trail.only("record.read", patient="17"), trail.only("api.called")
    for event in (record, call):
        assert (event.actor.id, event.actor.name, event.actor.roles) == ("ada", "Dr Ada", ("physician",))
        assert event.session == "s-1"
        assert event.correlation_id == TRACE
        assert event.client is not None
        assert (event.client.address, event.client.user_agent) == ("203.0.113.9", "portal/2")
    assert request_of(call) == ("GET", path, 200)
    assert call.request is not None
    assert call.request.duration_ms is not None
    assert call.request.duration_ms > 0
    assert call.outcome is Outcome.SUCCESS


def test_requests_without_a_trace_get_ids_of_their_own(client: httpx2.Client, trail: CapturedTrail) -> None:
    for _ in range(2):
        client.get("/patients/17", headers=ADA)
    ids = [event.correlation_id for event in trail.matching("api.called")]
    assert len(set(ids)) == 2
    assert {event.correlation_id for event in trail.matching("record.read")} == set(ids)


@pytest.mark.parametrize(
    ("method", "path", "headers", "actor"),
    [
        ("GET", "/patients/17", {}, UNKNOWN_ACTOR),
        ("GET", "/denied", ADA, DR_ADA),
        ("DELETE", "/patients/17", ADA, DR_ADA),
    ],
)
def test_denied_requests_are_recorded_with_the_actor_who_is_known(
    client: httpx2.Client, trail: CapturedTrail, method: str, path: str, headers: dict[str, str], actor: Actor
) -> None:
    status = client.request(method, path, headers=headers).status_code
    event = trail.only()
    assert event.type == "access.denied"
    assert request_of(event) == (method, path, status)
    assert event.actor == actor
    assert (event.outcome, event.outcome_reason) == (Outcome.MINOR_FAILURE, f"HTTP {status}")


def test_a_request_that_fails_is_recorded_without_the_text_of_the_exception(
    client: httpx2.Client, trail: CapturedTrail
) -> None:
    assert client.get("/defect", headers={"Connection": "close"}).status_code == 500
    event = trail.only("api.called")
    assert request_of(event) == ("GET", "/defect", 500)
    assert (event.outcome, event.outcome_reason) == (Outcome.SERIOUS_FAILURE, "LookupError")


def test_a_request_for_nothing_is_recorded(client: httpx2.Client, trail: CapturedTrail) -> None:
    assert client.get("/nowhere").status_code == 404
    assert trail.only("api.called").outcome is Outcome.MINOR_FAILURE


def test_neither_a_body_nor_a_query_string_is_recorded(client: httpx2.Client, trail: CapturedTrail) -> None:
    assert client.post("/notes?name=Example", json={"note": "HIV positive"}).json() == "HIV positive"
    event = trail.only("api.called")
    assert request_of(event) == ("POST", "/notes", 200)
    assert not any(text in repr(event) for text in ("HIV", "Example"))


def test_skipped_paths_are_not_recorded(client: httpx2.Client, trail: CapturedTrail) -> None:
    for path in ("/healthz", "/static/app.css"):
        client.get(path)
    assert trail.events == []


def test_a_client_that_leaves_before_the_response_does_not_cost_the_event(
    client: httpx2.Client, trail: CapturedTrail, service: Service
) -> None:
    leave(client, "/slow", service)
    eventually(lambda: bool(trail.events))
    assert request_of(trail.only("api.called")) == ("GET", "/slow", 200)


def test_a_response_that_breaks_off_gets_a_second_event(
    client: httpx2.Client, trail: CapturedTrail, service: Service
) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        client.get("/stream?breaks=true")
    eventually(lambda: len(trail.events) == 2)
    first, second = trail.events
    assert first.correlation_id == second.correlation_id
    assert [event.outcome for event in trail.events] == [Outcome.SUCCESS, Outcome.SERIOUS_FAILURE]
    assert second.outcome_reason == "LookupError"
    trail.clear()
    leave(client, "/stream", service)
    eventually(lambda: len(trail.events) == 2)
    assert [event.outcome_reason for event in trail.events] == [None, LEFT]


def test_only_clients_end_streams_of_events(
    client: httpx2.Client, trail: CapturedTrail, service: Service
) -> None:
    leave(client, "/events", service)
    service.held.clear()
    leave(client, "/slow", service)  # the same loop, later
    eventually(lambda: len(trail.events) == 2)
    assert [event.request.path for event in trail.events if event.request] == ["/events", "/slow"]


def test_websockets_are_recorded_when_they_are_opened_or_refused(
    client: httpx2.Client, trail: CapturedTrail
) -> None:
    address = str(client.base_url).replace("http:", "ws:").rstrip("/")
    with connect(f"{address}/socket") as opened:
        opened.send("the patient is better")
    with pytest.raises(InvalidStatus, match="403"):
        connect(f"{address}/refused")
    opened_event, refused = trail.events
    assert (opened_event.type, request_of(opened_event)) == ("api.called", ("WEBSOCKET", "/socket", 101))
    assert opened_event.actor.id == "ada"
    assert (refused.type, request_of(refused)) == ("access.denied", ("WEBSOCKET", "/refused", 403))


def ask(app: Any, path: str, **options: Any) -> httpx2.Response:
    """Ask an application without a server in between."""

    async def call() -> httpx2.Response:
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://clinic") as client:
            return await client.get(path, **options)

    return asyncio.run(call())


async def greeting(_: Any, __: Any, send: Any) -> None:
    """The smallest application."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"good morning"})


def test_an_answer_without_a_known_actor_is_warned_of_once(
    trail: CapturedTrail, caplog: pytest.LogCaptureFixture
) -> None:
    app = AuditMiddleware(greeting, trail)
    with caplog.at_level(logging.WARNING, "audit_trail_publisher"):
        for path in ("/a", "/a", "/b"):
            ask(app, path)
    assert [event.actor.kind for event in trail.events] == [ActorKind.UNKNOWN] * 3
    assert sum("names no actor" in line for line in caplog.messages) == 2


def test_a_fault_of_the_function_for_the_actor_does_not_cost_the_event(
    trail: CapturedTrail, caplog: pytest.LogCaptureFixture
) -> None:

    def actor_of(scope: Any) -> str:
        raise LookupError(scope["path"])

    assert ask(AuditMiddleware(greeting, trail, actor=actor_of), "/patient-4711").status_code == 200
    assert trail.only("api.called").actor.kind is ActorKind.UNKNOWN
    assert "LookupError" in caplog.text
    assert "4711" not in caplog.text


def test_the_query_string_is_recorded_where_that_is_wanted(trail: CapturedTrail) -> None:
    ask(AuditMiddleware(greeting, trail, path=path_with_query), "/search%2Fwards?ward=3")
    assert request_of(trail.only()) == ("GET", "/search%2Fwards?ward=3", 200)


def test_a_client_can_not_make_its_event_invalid(trail: CapturedTrail) -> None:
    headers = {"User-Agent": "x" * 5000, "X-Forwarded-For": "," * 5000, "traceparent": "00-" + "0" * 5000}
    assert ask(AuditMiddleware(greeting, trail), f"/{'x' * 9000}", headers=headers).status_code == 200
    trail.only("api.called")


def test_a_request_that_is_cancelled_while_its_event_waits_for_a_thread_does_not_cost_the_event(
    trail: CapturedTrail,
) -> None:
    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None: ...

    async def cancelled() -> None:
        threads = [trail.aio.durable.record.read(resource=("Page", "1"), actor="ada") for _ in range(8)]
        scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
        request = asyncio.ensure_future(AuditMiddleware(greeting, trail)(scope, receive, send))
        await asyncio.sleep(0)  # now it waits for its event
        request.cancel()
        await asyncio.sleep(0)
        trail._memory._lock.release()
        with pytest.raises(asyncio.CancelledError):
            await request
        await asyncio.gather(*threads)

    trail._memory._lock.acquire()  # the spool is busy
    asyncio.run(cancelled())
    assert [event.outcome_reason for event in trail.matching("api.called")] == [None, LEFT]


def test_the_log_says_when_the_event_of_a_cancelled_request_can_not_be_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def cancelled(trail: Trail) -> None:
        task = asyncio.ensure_future(
            asyncio.wait_for(trail.aio.record.read(resource=("Page", "1"), actor="ada"), 9)
        )
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.to_thread(eventually, lambda: "the event of a cancelled call" in caplog.text)

    with closing(
        Publisher(
            "patient-service",
            url="http://127.0.0.1:1",
            spool=tmp_path,
            max_spool_bytes=1,
            when_full="block",
            block_seconds=0.2,
        )
    ) as full:
        asyncio.run(cancelled(full))
    assert "the event of a cancelled call could not be recorded" in caplog.text


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Publisher]:
    """A publisher whose spool has room for nothing."""
    with closing(
        Publisher("patient-service", url="http://127.0.0.1:1", spool=tmp_path, max_spool_bytes=1)
    ) as full:
        yield full


def test_a_response_whose_event_can_not_be_kept_is_refused_or_logged(
    full: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    refused = ask(AuditMiddleware(greeting, full), "/")
    assert (refused.status_code, refused.content, refused.headers["Retry-After"]) == (503, b"", "5")
    assert ask(AuditMiddleware(greeting, full, on_unrecorded="answer"), "/").text == "good morning"
    assert caplog.text.count("could not be recorded") == 2


def recording(trail: Publisher) -> FastAPI:
    """An application whose routes record."""
    app = FastAPI()

    @app.get("/in-a-thread")
    def in_a_thread() -> None:
        trail.record.read(resource=("Page", "1"), actor="ada")

    @app.get("/async")
    async def in_the_loop() -> None:
        await trail.aio.record.read(resource=("Page", "1"), actor="ada")

    @app.get("/handled")
    def handled() -> None:
        try:
            in_a_thread()
        except SpoolFullError as exc:
            raise HTTPException(500) from exc

    return app


@pytest.mark.parametrize("path", ["/in-a-thread", "/async", "/handled"])
def test_a_route_whose_own_event_can_not_be_kept_is_refused(
    full: Publisher, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    refused = ask(AuditMiddleware(recording(full), full), path)
    assert (refused.status_code, refused.content, refused.headers["Retry-After"]) == (503, b"", "5")
    assert "could not be recorded" in caplog.text
    within = recording(full)
    within.add_middleware(AuditMiddleware, trail=full)
    assert ask(within, path).status_code == 503


def test_a_route_fails_as_always_where_unrecorded_responses_are_sent(full: Publisher) -> None:
    with pytest.raises(SpoolFullError):
        ask(AuditMiddleware(recording(full), full, on_unrecorded="answer"), "/async")
    assert ask(AuditMiddleware(recording(full), full, on_unrecorded="answer"), "/handled").status_code == 500


def test_the_refusal_is_recorded_where_that_is_possible_without_waiting_again(
    tmp_path: Path, full: Publisher
) -> None:
    trail = CapturedTrail()
    assert ask(AuditMiddleware(recording(full), trail), "/async").status_code == 503
    event = trail.only("api.called")
    assert (request_of(event)[2], event.outcome_reason) == (503, "SpoolFullError")
    trail.clear()
    options: Any = {"max_spool_bytes": 1, "when_full": "block", "block_seconds": 0.05}
    with closing(
        Publisher("patient-service", url="http://127.0.0.1:1", spool=tmp_path / "x", **options)
    ) as b:
        assert ask(AuditMiddleware(recording(b), trail), "/async").status_code == 503
    assert trail.events == []


def test_a_damaged_spool_is_a_refusal_too(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database" * 100)
    with closing(
        Publisher("patient-service", url="http://127.0.0.1:1", spool=tmp_path, lifecycle=False)
    ) as broken:
        assert ask(AuditMiddleware(recording(broken), broken), "/async").status_code == 503
