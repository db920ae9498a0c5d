"""Nothing that waits for the database holds up the event loop, so no request waits for another's query."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import httpx2
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from event_store.database import READER, Connection, Database
from event_store.log_reader import LogReader
from graphql_api.limits import QueryLimits
from ingest.publishing import Publisher
from ingest.settings import IngestSettings
from projections.read_models import ReadModels
from tests.tokens import ADMIN, authentication
from tests.web.conftest import NO_BROKER, Serve, serving
from web.app import create_app
from web.probes import StoreProbes
from web.settings import WebSettings

SLOW = 0.6
_BEAT = 0.02
_FIELDS = (
    "id eventId position recordedAt occurredAt type category action outcome source { service } actor { id name roles }"
    " patients { id name } resources { type id } changes { path before after } session correlationId reason"
)
ASKED = (
    "{ events(first: 100) { nodes { id position type actor { id } inclusionProof { leafIndex } } } }",
    '{ event(id: "00000000-0000-0000-0000-000000000000") { id } }',
    '{ patient(id: "17", limit: 10) { events timeline(first: 10) { edges { cursor node { type } } } } }',
    '{ node(id: "UGF0aWVudEFjdGl2aXR5OjE3") { id } user(id: "ada") { name } service(name: "vitals") { state } }',
    "{ projections { name lag } treeHead { size } consistencyProof(from: 1, to: 10) { hashes } }",
    '{ projection(name: "patient") { rows(first: 10, table: "patient_timeline") { nodes } } }',
    "{ events(first: 1, waitForPosition: 5, waitSeconds: 1) { asOfPosition } }",
)


class SlowDatabase(Database):
    """A database every transaction of which takes long."""

    @contextmanager
    def transaction(self, *, read_only: bool = False) -> Iterator[Connection]:
        time.sleep(SLOW)
        with super().transaction(read_only=read_only) as connection:
            yield connection


def test_slow_queries_do_not_delay_health(serve: Serve, trail_url: str) -> None:
    with closing(SlowDatabase(trail_url, READER, size=8)) as database:
        client = serve(trail_url, models=ReadModels(database))
        body = {"query": "{ events(first: 100) { nodes { id type } } }"}
        asking = [
            threading.Thread(target=client.post, args=("/graphql",), kwargs={"json": body}) for _ in range(8)
        ]
        for thread in asking:
            thread.start()
        taken = []
        while any(thread.is_alive() for thread in asking):
            began = time.monotonic()
            assert client.get("/healthz").status_code == 200
            taken.append(time.monotonic() - began)
        for thread in asking:
            thread.join()
    assert len(taken) > 3
    assert max(taken) < SLOW / 2


class Heartbeat:
    """An application with a task beside it on the event loop that notes how late it is woken."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._task: asyncio.Task[None] | None = None
        self.late: list[float] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._beat())
        await self._app(scope, receive, send)

    async def _beat(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(_BEAT)
            self.late.append(time.monotonic() - began - _BEAT)


def test_the_largest_answers_hold_up_nothing_else_on_the_event_loop(trail_url: str) -> None:
    """Each waits for the database, and is then as much work as a request may be."""
    pages = " ".join(f"p{n}: events(first: 100) {{ nodes {{ {_FIELDS} }} }}" for n in range(5))
    counts = 'eventCounts(by: ACTOR, filter: {occurredFrom: "2000-01-01T00:00:00Z"}) { events }'
    settings = IngestSettings(bootstrap_servers=(NO_BROKER,))
    with (
        closing(SlowDatabase(trail_url, READER, size=8)) as database,
        closing(Publisher(settings)) as publisher,
    ):
        models = ReadModels(database)
        app = create_app(
            models,
            LogReader(database),
            publisher,
            StoreProbes(database),
            WebSettings(limits=QueryLimits(max_unindexed_days=0)),
            authentication=authentication(),
        )
        heartbeat = Heartbeat(app)
        with serving(heartbeat) as client:

            def ask() -> None:
                for query in (f"{{ {pages} }}", f"{{ {counts} }}"):
                    answer = client.post("/graphql", json={"query": query})
                    assert "errors" not in answer.json(), answer.text
                assert client.get("/v1/events?first=100").status_code == 200

            with ThreadPoolExecutor(4) as asking:
                for done in [asking.submit(ask) for _ in range(4)]:
                    done.result()
    assert len(heartbeat.late) > 3 * SLOW / _BEAT / 2
    # A wait for the database on the event loop would be SLOW at least.
    assert max(heartbeat.late) < SLOW / 2


def test_no_callback_of_the_event_loop_waits_for_the_database(
    trail_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """By asyncio's own check: in its debug mode it says which callback took longer than allowed."""

    async def ask() -> None:
        asyncio.get_running_loop().slow_callback_duration = SLOW * 0.8
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test", headers=ADMIN) as client:
            for query in ASKED:
                answer = await client.post("/graphql", json={"query": query}, timeout=30)
                assert "errors" not in answer.json(), answer.json()
            for path in ("/v1/events?first=10", "/readyz", "/metrics"):
                assert (await client.get(path, timeout=30)).status_code == 200

    settings = IngestSettings(bootstrap_servers=(NO_BROKER,))
    with (
        closing(SlowDatabase(trail_url, READER, size=4)) as database,
        closing(Publisher(settings)) as publisher,
    ):
        app = create_app(
            ReadModels(database),
            LogReader(database),
            publisher,
            StoreProbes(database),
            authentication=authentication(),
        )
        with caplog.at_level(logging.WARNING, logger="asyncio"):
            asyncio.run(ask(), debug=True)
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []
