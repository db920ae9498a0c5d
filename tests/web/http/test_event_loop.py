"""Nothing that waits for the database or Kafka does so on the event loop, so no request waits for another's query."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

from audit_trail.embedded.broker import Broker
from event_store.database import READER, Connection, Database
from event_store.log_reader import LogReader
from ingest.publisher import Message, Publisher
from ingest.settings import IngestSettings
from queries.export.pipeline import Exports
from queries.limits import QueryLimits
from queries.read_models import ReadModels
from tests.tokens import authentication
from tests.web.conftest import Serve, serving
from tests.web.rest.publishing import native
from web.app import create_app
from web.probes import StoreProbes
from web.settings import WebSettings

_FIELDS = (
    "id eventId position recordedAt occurredAt type category action outcome source { service } actor { id name roles }"
    " patients { id name } resources { type id } changes { path before after } session correlationId reason"
)
QUERIES = (
    "{ " + " ".join(f"p{n}: events(first: 100) {{ nodes {{ {_FIELDS} }} }}" for n in range(5)) + " }",
    '{ eventCounts(by: ACTOR, filter: {occurredFrom: "2000-01-01T00:00:00Z"}) { events } }',
    "{ events(first: 100) { nodes { id position type actor { id } inclusionProof { leafIndex } } } }",
    '{ event(id: "00000000-0000-0000-0000-000000000000") { id } }',
    '{ patient(id: "17", limit: 10) { events timeline(first: 10) { edges { cursor node { type } } } } }',
    '{ node(id: "UGF0aWVudEFjdGl2aXR5OjE3") { id } user(id: "ada") { name } service(name: "vitals") { state } }',
    '{ device(id: "pump-1") { configurationAt(first: 5) { nodes { path value } } } }',
    '{ resource(type: "Observation", id: "o-17") { history(first: 5) { nodes { path } } } }',
    "{ projections { name lag } treeHead { size } consistencyProof(from: 1, to: 10) { hashes } }",
    '{ projection(name: "patient") { rows(first: 10, table: "patient_timeline") { nodes } } }',
    "{ events(first: 1, waitForPosition: 5, waitSeconds: 1) { asOfPosition } }",
)
PATHS = (
    "/v1/events?first=100",
    "/v1/resources/Observation/o-17/changes",
    "/v1/devices/pump-1/configuration",
    "/v1/export",
    "/readyz",
    "/metrics",
)


class GatedDatabase(Database):
    """A database on which every query waits until `gate` is opened."""

    def __init__(self, url: str) -> None:
        super().__init__(url, READER, size=4)
        self.asked = threading.Semaphore(0)
        self.gate = threading.Event()

    @contextmanager
    def transaction(self, *, read_only: bool = False) -> Iterator[Connection]:
        self._wait()
        with super().transaction(read_only=read_only) as connection:
            yield connection

    @contextmanager
    def snapshots(self) -> Iterator[Connection]:
        self._wait()
        with super().snapshots() as connection:
            yield connection

    def _wait(self) -> None:
        self.asked.release()
        assert self.gate.wait(60)


def test_health_is_answered_while_every_thread_waits_for_a_slow_query(serve: Serve, trail_url: str) -> None:
    with closing(GatedDatabase(trail_url)) as database, ThreadPoolExecutor(8) as asking:
        client = serve(trail_url, models=ReadModels(database), reading_threads=4)
        body = {"query": "{ events(first: 100) { nodes { id type } } }"}
        slow = [asking.submit(client.post, "/graphql", json=body, timeout=90) for _ in range(8)]
        assert all(database.asked.acquire(timeout=60) for _ in range(4))
        for _ in range(10):
            assert client.get("/healthz").status_code == 200
        assert not any(each.done() for each in slow)
        database.gate.set()
        assert {each.result().status_code for each in slow} == {200}


def on_an_event_loop() -> bool:
    """Whether what runs here is run by an event loop, which does nothing else meanwhile."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class WatchedDatabase(Database):
    """A database that notes of every query whether an event loop waits for it."""

    def __init__(self, url: str) -> None:
        super().__init__(url, READER, size=4)
        self.waits: list[bool] = []

    @contextmanager
    def transaction(self, *, read_only: bool = False) -> Iterator[Connection]:
        self.waits.append(on_an_event_loop())
        with super().transaction(read_only=read_only) as connection:
            yield connection

    @contextmanager
    def snapshots(self) -> Iterator[Connection]:
        self.waits.append(on_an_event_loop())
        with super().snapshots() as connection:
            yield connection


class WatchedPublisher(Publisher):
    """A publisher that notes of every publication whether an event loop waits for it."""

    def __init__(self, settings: IngestSettings) -> None:
        super().__init__(settings)
        self.waits: list[bool] = []

    def publish(self, messages: Iterable[Message]) -> None:
        self.waits.append(on_an_event_loop())
        super().publish(messages)


def test_the_event_loop_never_waits_for_the_database_or_kafka(
    trail_url: str, broker: Broker, topic: str
) -> None:
    settings = IngestSettings(bootstrap_servers=(broker.bootstrap_servers,), publish_timeout_seconds=5)
    with (
        closing(WatchedDatabase(trail_url)) as database,
        closing(WatchedPublisher(settings)) as publisher,
    ):
        app = create_app(
            ReadModels(database),
            LogReader(database),
            publisher,
            StoreProbes(database),
            WebSettings(topic=topic, limits=QueryLimits(max_unindexed_days=0)),
            exports=Exports(database),
            authentication=authentication(),
        )
        with serving(app) as client:
            asked = 0
            for query in QUERIES:
                answer = client.post("/graphql", json={"query": query}).json()
                assert "errors" not in answer, answer
                assert len(database.waits) > asked, query
                asked = len(database.waits)
            for path in PATHS:
                assert client.get(path).status_code == 200, path
                assert len(database.waits) > asked, path
                asked = len(database.waits)
            assert client.post("/v1/events", json=native()).status_code == 202
            with client.stream(
                "POST",
                "/graphql",
                json={"query": "subscription { eventRecorded(after: 0) { position } }"},
                headers={"Accept": "text/event-stream"},
            ) as stream:
                assert any("position" in line for line in stream.iter_lines())
            assert len(database.waits) > asked
            app.state.feed.stop()
    assert not any(database.waits)
    assert publisher.waits == [False]
