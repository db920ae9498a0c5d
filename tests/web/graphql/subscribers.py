"""A server on the hospital's morning, and clients that subscribe to it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import httpx2
from starlette.routing import WebSocketRoute
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from event_store.database import READER, Database
from event_store.log_reader import LogReader
from ingest.publisher import Publisher
from ingest.settings import IngestSettings
from projections.wakeup import WakeUp
from queries.read_models import ReadModels
from tests.tokens import ADMIN, authentication
from tests.web.conftest import NO_BROKER
from web.app import create_app
from web.http.listening_socket import listen
from web.http.server import Server
from web.probes import StoreProbes
from web.settings import WebSettings

EVENTS = """subscription ($filter: EventFilter, $after: Long) {
  eventRecorded(filter: $filter, after: $after) { position type patients { id } }
}"""


PROJECTIONS = """subscription ($names: [String!], $after: Long) {
  projectionAdvanced(names: $names, after: $after) { name position }
}"""


PATIENCE = 10.0


class Served:
    """A server of its own on the hospital's morning."""

    def __init__(self, url: str, stack: ExitStack, kinds: Sequence[Any] = (), **settings: Any) -> None:
        self.database = url
        database = stack.enter_context(closing(Database(url, READER, size=4)))
        publisher = stack.enter_context(closing(Publisher(IngestSettings(bootstrap_servers=(NO_BROKER,)))))
        self.app = create_app(
            ReadModels(database),
            LogReader(database),
            publisher,
            StoreProbes(database),
            WebSettings(**settings),
            wake=WakeUp(Database(url, READER, size=1)),
            authentication=authentication(kinds),
        )
        self.endpoint: Any = next(route.app for route in self.app.routes if isinstance(route, WebSocketRoute))
        self._server = Server(self.app, graceful_seconds=30)
        listener = stack.enter_context(listen("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]})
        self._thread.start()
        stack.callback(self.stop)
        while not self._server.started:
            time.sleep(0.01)
        self.client = stack.enter_context(
            httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=PATIENCE, headers=ADMIN)
        )

    def stop(self) -> float:
        """Stop, and how long that took."""
        began = time.monotonic()
        self._server.stop()
        self._thread.join()
        return time.monotonic() - began

    @contextmanager
    def socket(self) -> Iterator[ClientConnection]:
        """A connection that is acknowledged."""
        with self.open() as socket:
            socket.send('{"type": "connection_init"}')
            assert received(socket) == {"type": "connection_ack"}
            yield socket

    @contextmanager
    def open(
        self, origin: str | None = None, headers: Mapping[str, str] = ADMIN
    ) -> Iterator[ClientConnection]:
        """A connection on which nothing was said."""
        with connect(
            f"ws://127.0.0.1:{self.port}/graphql",
            subprotocols=[Subprotocol("graphql-transport-ws")],
            open_timeout=PATIENCE,
            additional_headers=headers,
            origin=None if origin is None else Origin(origin),
        ) as socket:
            yield socket

    def subscribers(self, count: int) -> bool:
        """Whether there are soon that many subscriptions."""
        until = time.monotonic() + PATIENCE
        while self.app.state.feed.subscribers != count and time.monotonic() < until:
            time.sleep(0.01)
        return bool(self.app.state.feed.subscribers == count)


def received(socket: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(socket.recv(timeout=PATIENCE))
    return message


def subscribe(socket: ClientConnection, query: str = EVENTS, id: str = "1", **variables: Any) -> None:
    payload = {"query": query, "variables": variables}
    socket.send(json.dumps({"type": "subscribe", "id": id, "payload": payload}))
