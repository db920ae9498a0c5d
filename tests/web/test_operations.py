"""Health, metrics, and how the server begins and ends."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from uuid import UUID, uuid4

import httpx2
import pytest

from domain.errors import ConfigurationError
from domain.event import RecordedEvent
from event_store.database import Database
from queries.filters.event_filter import EventFilter
from queries.read_models import ReadModels
from tests.web.conftest import NO_DATABASE, Serve
from web.http.listening_socket import listen


def test_a_ready_server_says_so(client: httpx2.Client) -> None:
    assert client.get("/healthz").json() == {"part": "serve", "status": "ok", "checks": {}}
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "ok")
    assert set(ready.json()["checks"].values()) == {"ok"}


def test_a_server_without_its_database_is_alive_and_not_ready(serve: Serve) -> None:
    client = serve(NO_DATABASE)
    assert client.get("/healthz").status_code == 200
    ready = client.get("/readyz")
    assert ready.status_code == 503
    assert ready.json()["checks"]["database"] == "the database is away"
    assert "audit_trail_database_up 0.0" in client.get("/metrics").text


@pytest.mark.parametrize("accept", ["application/json", "application/graphql-response+json"])
def test_without_its_database_rest_answers_503_and_graphql_200_with_the_code(
    serve: Serve, accept: str
) -> None:
    client = serve(NO_DATABASE)
    assert client.get("/v1/events").status_code == 503
    query = {"query": "{ __typename events(first: 1) { nodes { id } } }"}
    answer = client.post("/graphql", json=query, headers={"Accept": accept})
    assert answer.status_code == 200
    assert [error["extensions"]["code"] for error in answer.json()["errors"]] == ["UNAVAILABLE"]


def test_a_database_that_was_not_migrated_is_not_ready(
    serve: Serve, database_url: str, migrated_url: str
) -> None:
    """The roles are the server's and there since another database was migrated; the tables are not."""
    assert migrated_url
    ready = serve(database_url).get("/readyz")
    assert ready.status_code == 503
    assert "0001_event_store" in ready.json()["checks"]["migrations"]


def test_a_stopped_projection_is_named(serve: Serve, trail_url: str) -> None:
    with (
        closing(Database(trail_url, None)) as database,
        database.transaction() as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(
            "UPDATE audit_trail.projection SET failed_position = 3, failed_event_id = %s, failure = 'x'"
            " WHERE name = 'patient'",
            (uuid4(),),
        )
    client = serve(trail_url)
    ready = client.get("/readyz")
    assert ready.status_code == 503
    assert ready.json()["checks"]["projections"] == "patient stopped at position 3"
    assert (
        'audit_trail_projection_failed{projection="patient",version="4"} 1.0' in client.get("/metrics").text
    )


@pytest.mark.parametrize(
    ("shift", "state", "command"),
    [
        (-1, "needs rebuild", "audit-trail projections rebuild patient"),
        (1, "needs newer program", "use the newer program"),
    ],
)
def test_a_projection_whose_tables_do_not_fit_this_program_is_not_ready(
    serve: Serve, trail_url: str, shift: int, state: str, command: str
) -> None:
    with (
        closing(Database(trail_url, None)) as database,
        database.transaction() as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(
            "UPDATE audit_trail.projection SET version = version + %s WHERE name = 'patient'", (shift,)
        )
    client = serve(trail_url)
    ready = client.get("/readyz")
    assert ready.status_code == 503
    reason = ready.json()["checks"]["projections"]
    assert reason.startswith(f"patient {state}: its tables are version {4 + shift}, this program has 4")
    assert command in reason
    metrics = client.get("/metrics").text
    assert f'audit_trail_projection_misfit{{projection="patient",version="{4 + shift}"}} 1.0' in metrics
    assert 'audit_trail_projection_misfit{projection="user",version="3"} 0.0' in metrics
    found = client.post("/graphql", json={"query": "{ projections { name state } }"}).json()
    states = {each["name"]: each["state"] for each in found["data"]["projections"]}
    assert (states["patient"], states["user"]) == (state, "running")


def test_metrics_count_requests_by_route_and_show_the_log(client: httpx2.Client) -> None:
    client.get(f"/v1/events/{UUID(int=1)}")
    client.get("/secret-of-a-patient")
    client.post("/graphql", json={"query": "{ __typename }"})
    text = client.get("/metrics").text
    assert (
        'audit_trail_http_requests_total{method="GET",route="/v1/events/{event_id}",status="404"} 1.0' in text
    )
    assert 'audit_trail_http_requests_total{method="POST",route="/graphql",status="200"} 1.0' in text
    assert 'audit_trail_http_request_seconds_count{method="GET",route="other"} 1.0' in text
    assert "secret" not in text
    assert "audit_trail_log_size 10.0" in text
    assert 'audit_trail_projection_lag{projection="patient",version="4"} 0.0' in text
    assert "audit_trail_database_up 1.0" in text


class Slow(ReadModels):
    """Read models whose look-ups take until `gate` is opened."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.asked = threading.Event()
        self.gate = threading.Event()

    def event(self, event_id: UUID, scope: EventFilter | None = None) -> RecordedEvent | None:
        self.asked.set()
        assert self.gate.wait(60)
        return super().event(event_id, scope)


class Defective(ReadModels):
    """Read models with a defect whose message quotes a patient."""

    def event(self, event_id: UUID, scope: EventFilter | None = None) -> RecordedEvent | None:
        raise KeyError(f"patient 17 has a secret in {event_id} {scope}")


def test_a_slow_query_does_not_hold_up_the_others(serve: Serve, trail_url: str) -> None:
    with closing(Database(trail_url, None)) as database:
        models = Slow(database)
        client = serve(trail_url, models=models)
        with ThreadPoolExecutor(1) as asking:
            slow = asking.submit(client.get, f"/v1/events/{UUID(int=1)}", timeout=90)
            assert models.asked.wait(60)
            assert client.get("/healthz").status_code == 200
            assert client.post("/graphql", json={"query": "{ projections { name } }"}).status_code == 200
            assert not slow.done()
            models.gate.set()
            assert slow.result().status_code == 404


def test_an_unexpected_error_is_a_problem_without_its_text(serve: Serve, trail_url: str) -> None:
    client = serve(trail_url, models=Defective(Database(trail_url, None)))
    response = client.get(f"/v1/events/{UUID(int=1)}")
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert "secret" not in response.text


def test_an_address_that_is_taken_is_named() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"127.0.0.1:{port}"):
            listen("127.0.0.1", port)


_PROGRAM = """
import asyncio, sys
from web.http.server import run

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await asyncio.sleep(1)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})

run(app, "127.0.0.1", int(sys.argv[1]))
"""


def test_a_signal_lets_the_requests_that_run_finish() -> None:
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", _PROGRAM, str(port)])
    try:
        answer = asyncio.run(_ask_and_stop(port, process.pid))
        assert answer == "done"
        # uvicorn passes the signal on once it has stopped.
        assert process.wait(10) in {0, -signal.SIGTERM}
    finally:
        process.kill()
        process.wait()


async def _ask_and_stop(port: int, pid: int) -> str:
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
        for _ in range(100):
            try:
                await client.get("/")
                break
            except httpx2.ConnectError:
                await asyncio.sleep(0.1)
        running = asyncio.create_task(client.get("/"))
        await asyncio.sleep(0.3)
        os.kill(pid, signal.SIGTERM)
        return (await running).text
