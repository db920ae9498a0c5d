"""A real uvicorn on a socket, on a real database and a real broker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import httpx2
import pytest

import web.rest.publishing
from audit_trail.embedded.broker import Broker
from event_store.database import READER, Database
from event_store.log_reader import LogReader
from ingest.publisher import Publisher
from ingest.settings import IngestSettings
from queries.case_commands import CaseCommands
from queries.export.pipeline import Exports
from queries.read_models import ReadModels
from tests.databases import HOSPITAL, Databases
from tests.tokens import ADMIN, authentication
from web.app import create_app
from web.http.listening_socket import listen
from web.http.server import Server
from web.probes import StoreProbes
from web.settings import WebSettings

Serve = Callable[..., httpx2.Client]

NO_BROKER = "127.0.0.1:1"
NO_DATABASE = "postgresql://localhost:1/none"


@contextmanager
def serving(app: Any, trusted_proxies: Sequence[str] = ()) -> Iterator[httpx2.Client]:
    """A client of `app`, served by uvicorn in a thread until the end."""
    server = Server(app, graceful_seconds=5, trusted_proxies=trusted_proxies)
    with listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started and thread.is_alive():
                time.sleep(0.01)
            with client_of(f"http://127.0.0.1:{listener.getsockname()[1]}") as client:
                yield client
        finally:
            server.stop()
            thread.join()


def client_of(address: httpx2.URL | str) -> httpx2.Client:
    """A client that may do everything."""
    return httpx2.Client(base_url=address, timeout=30, headers=ADMIN)


@contextmanager
def servers() -> Iterator[Serve]:
    """`serve(url, bootstrap_servers, models=..., publisher=..., **settings)`: a client of a server of its own."""
    with ExitStack() as stack:

        def start(
            url: str,
            bootstrap_servers: str = NO_BROKER,
            models: ReadModels | None = None,
            publisher: web.rest.publishing.EventPublisher | None = None,
            **settings: Any,
        ) -> httpx2.Client:
            database = stack.enter_context(closing(Database(url, READER, size=4)))
            exports = Exports(stack.enter_context(closing(Database(url, READER, size=2))))
            ingest = IngestSettings(bootstrap_servers=(bootstrap_servers,), publish_timeout_seconds=5)
            publisher = publisher or stack.enter_context(closing(Publisher(ingest)))
            app = create_app(
                models or ReadModels(database),
                LogReader(database),
                publisher,
                StoreProbes(database),
                WebSettings(**settings),
                exports=exports,
                commands=CaseCommands(database),
                authentication=authentication(),
            )
            return stack.enter_context(serving(app))

        yield start


@pytest.fixture
def serve() -> Iterator[Serve]:
    """See `servers`."""
    with servers() as start:
        yield start


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What a test opens in it is closed at its end."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def trail_url(hospital_url: str) -> str:
    """The URL of a database with the hospital's morning."""
    return hospital_url


@pytest.fixture(scope="module")
def shared_server(databases: Databases) -> Iterator[httpx2.URL]:
    """The address of a server on the hospital's morning, without a broker. The tests of a file share it."""
    with databases.copy(HOSPITAL) as url, servers() as start:
        yield start(url).base_url


@pytest.fixture
def client(shared_server: httpx2.URL) -> Iterator[httpx2.Client]:
    """A client of `shared_server`, for tests that only read."""
    with client_of(shared_server) as client:
        yield client


@pytest.fixture
def own_client(serve: Serve, trail_url: str) -> httpx2.Client:
    """The same for a test that changes the trail, which is at `trail_url`."""
    return serve(trail_url)


@pytest.fixture
def publishing_client(serve: Serve, migrated_url: str, broker: Broker, topic: str) -> httpx2.Client:
    """A client of a server that publishes to `topic`."""
    return serve(migrated_url, broker.bootstrap_servers, topic=topic)


@pytest.fixture(scope="module")
def lonely_server() -> Iterator[httpx2.URL]:
    """The address of a server without database and broker. The tests of a file share it."""
    with servers() as start:
        yield start(NO_DATABASE).base_url


@pytest.fixture
def lonely_client(lonely_server: httpx2.URL) -> Iterator[httpx2.Client]:
    """A client of `lonely_server`: what is refused before reading must not notice."""
    with client_of(lonely_server) as client:
        yield client
