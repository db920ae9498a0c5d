"""A whole trail for publishers: the API on a port that stays the same, ingest, a real broker and a real database."""

from __future__ import annotations

import json
import threading
import time
from contextlib import ExitStack, closing, suppress
from typing import Any, Self
from uuid import uuid4

from kafka.admin import KafkaAdminClient

from audit_trail.embedded.broker import Broker, free_ports
from domain.event import Source
from event_store.database import INGEST, READER, Database
from event_store.log_reader import LogReader
from ingest.publisher import Publisher
from ingest.settings import IngestSettings
from queries.read_models import ReadModels
from tests.ingest.conftest import Running
from tests.tokens import authentication
from web.app import create_app
from web.http.listening_socket import listen
from web.http.server import Server
from web.probes import StoreProbes
from web.settings import WebSettings

TAKES_SEQUENCES = "sequence" in Source.__struct_fields__


class RealTrail:
    """Start it with `with`. `stop_api` and `start_api` take the API away and bring it back at the same address."""

    def __init__(self, database_url: str, broker: Broker, **settings: Any) -> None:
        self.topic = f"test-{uuid4().hex}"
        self.bootstrap_servers = broker.bootstrap_servers
        self._database_url = database_url
        self._settings = {"topic": self.topic, **settings}
        self._stack = ExitStack()
        self._api = ExitStack()
        (self._port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        with closing(KafkaAdminClient(bootstrap_servers=self.bootstrap_servers)) as admin:
            admin.create_topics(
                {self.topic: {"num_partitions": 4, "replication_factor": 1}}, wait_for_metadata=True
            )
        self._ingesting = IngestSettings(
            bootstrap_servers=(self.bootstrap_servers,),
            topics=(self.topic,),
            group_id=self.topic,
            assignment="static",
            refresh_seconds=0.5,
            publish_timeout_seconds=5,
        )
        self._writer = self._stack.enter_context(closing(Database(self._database_url, INGEST)))
        self._reader = self._stack.enter_context(closing(Database(self._database_url, READER, size=4)))
        self._stack.callback(self.stop_api)
        self._stack.callback(self.stop_ingest)
        self.start_api()
        self.start_ingest()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start_api(self) -> None:
        """Serve until `stop_api`."""
        publisher = self._api.enter_context(closing(Publisher(self._ingesting)))
        app = create_app(
            ReadModels(self._reader),
            LogReader(self._reader),
            publisher,
            StoreProbes(self._reader),
            WebSettings(**self._settings),
            authentication=authentication(),
        )
        server = Server(app, graceful_seconds=5)
        listener = self._api.enter_context(listen("127.0.0.1", self._port))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        self._api.callback(thread.join)
        self._api.callback(server.stop)
        while not server.started and thread.is_alive():
            time.sleep(0.01)

    def stop_api(self) -> None:
        """Requests are refused from now on."""
        self._api.close()

    def start_ingest(self) -> None:
        """Record what is published."""
        self.ingest = Running(self._ingesting, self._writer)

    def stop_ingest(self) -> None:
        """Leave it in Kafka."""
        self.ingest.stop()
        if self.ingest.error is not None:
            raise self.ingest.error

    def bodies(self) -> list[bytes]:
        """The bytes of the events, in the order of their positions."""
        with self._reader.transaction(read_only=True) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT body FROM audit_trail.event ORDER BY position")
            return [bytes(body) for (body,) in cursor.fetchall()]

    def recorded(self) -> list[dict[str, Any]]:
        """The events in the order of their positions."""
        events = []
        for body in self.bodies():
            with suppress(json.JSONDecodeError):
                events.append(json.loads(body))
        return events
