"""A server whose reads are on record: a real broker, a real database, real tokens."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import TopicAlreadyExistsError

from domain.event import AuditEvent, Source
from domain.validation import decode_event
from event_store.database import READER, Database
from event_store.log_reader import LogReader
from ingest.publisher import Publisher
from ingest.settings import IngestSettings
from projections.wakeup import WakeUp
from queries.case_commands import CaseCommands
from queries.export.pipeline import Exports
from queries.export_jobs.job_folder import JobFolder
from queries.export_jobs.making import Kits
from queries.export_jobs.runner import ExportJobs
from queries.operations import Operations
from queries.read_models import ReadModels
from tests.tokens import authentication, bearer
from web.app import create_app
from web.authentication.combined import Authentication
from web.dashboard.install import SignIn
from web.http.listening_socket import listen
from web.http.server import Server
from web.metrics import WebMetrics
from web.probes import StoreProbes
from web.read_audit.access_record import AccessRecorder
from web.read_audit.metrics import RecordingMetrics
from web.read_audit.publication import Recording, RecordingSettings
from web.settings import WebSettings

SECRET_NAME = "Nora Never-To-Be-Told"
AUDITOR = bearer("auditor", subject="p.paragraph", purpose_of_use="HOPERAT")


class OnRecord:
    """A running server and the topic that it records to."""

    def __init__(
        self,
        stack: ExitStack,
        url: str,
        servers: str,
        topic: str,
        *,
        timeout: float = 3,
        web: Mapping[str, Any] | None = None,
        authenticated: Authentication | None = None,
        sign_in: SignIn | None = None,
        trusted_proxies: Sequence[str] = (),
        export_folder: Path | None = None,
        export_limits: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        self.servers, self.topic = servers, topic
        self.export_folder = export_folder or Path()
        database = stack.enter_context(closing(Database(url, READER, size=4)))
        exporting = stack.enter_context(closing(Database(url, READER, size=2)))
        ingest = IngestSettings(bootstrap_servers=(servers,), publish_timeout_seconds=timeout)
        publisher = stack.enter_context(closing(Publisher(ingest, linger_ms=0)))
        metrics = WebMetrics()
        recording = Recording(
            publisher, RecordingSettings(topic=topic, **settings), RecordingMetrics(metrics.registry)
        )
        jobs = (
            None if export_folder is None else self._jobs(stack, url, export_folder, **(export_limits or {}))
        )
        self.app = create_app(
            ReadModels(database),
            LogReader(database),
            publisher,
            StoreProbes(database),
            WebSettings(retry_after=7, **(web or {})),
            metrics=metrics,
            exports=Exports(exporting),
            jobs=jobs,
            wake=WakeUp(Database(url, READER, size=1)),
            authentication=authenticated or authentication(),
            sign_in=sign_in,
            operations=Operations(database),
            commands=CaseCommands(database),
            recorder=AccessRecorder(recording, Source(service="audit-trail")),
        )
        self.server = Server(self.app, graceful_seconds=5, trusted_proxies=trusted_proxies)
        listener = stack.enter_context(listen("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        thread = threading.Thread(target=self.server.run, kwargs={"sockets": [listener]})
        thread.start()
        stack.callback(thread.join)
        stack.callback(self.server.stop)
        while not self.server.started and thread.is_alive():
            time.sleep(0.01)
        self.client = stack.enter_context(
            httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30, headers=AUDITOR)
        )

    @staticmethod
    def _jobs(stack: ExitStack, url: str, folder: Path, **limits: Any) -> ExportJobs:
        database = stack.enter_context(closing(Database(url, READER, size=2)))
        bounds: dict[str, Any] = {"keep": timedelta(hours=1), "most_bytes": 1 << 30} | limits
        return ExportJobs(
            Exports(database), stack.enter_context(JobFolder.opened(folder, **bounds)), Kits(database)
        )

    def graphql(self, query: Any, **headers: str) -> httpx2.Response:
        """The answer to a query, or to a batch."""
        body = query if isinstance(query, list) else {"query": query}
        return self.client.post("/graphql", json=body, headers=headers)

    def events(self, at_least: int = 0, seconds: float = 10) -> list[AuditEvent]:
        """What is on record, once it is that much, in the order of time."""
        until = time.monotonic() + seconds
        while True:
            found = messages_of(self.servers, self.topic)
            if len(found) >= at_least or time.monotonic() > until:
                return sorted(found, key=lambda event: event.occurred_at)
            time.sleep(0.05)


@contextmanager
def on_record(url: str, servers: str, topic: str, **settings: Any) -> Iterator[OnRecord]:
    """A server until the end."""
    with ExitStack() as stack:
        yield OnRecord(stack, url, servers, topic, **settings)


def patients(event: AuditEvent) -> list[str]:
    """The ids."""
    return [patient.id for patient in event.patients]


def make_topic(bootstrap_servers: str, topic: str) -> None:
    """Make `topic`, which a broker that has just started may have made already for a client that asked for it."""
    with (
        closing(KafkaAdminClient(bootstrap_servers=bootstrap_servers)) as admin,
        suppress(TopicAlreadyExistsError),
    ):
        admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)


def messages_of(bootstrap_servers: str, topic: str) -> list[AuditEvent]:
    with closing(
        KafkaConsumer(bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest")
    ) as consumer:
        consumer.assign([TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)])
        ends = consumer.end_offsets(consumer.assignment())
        found: list[AuditEvent] = []
        while any(consumer.position(partition) < end for partition, end in ends.items()):
            for records in consumer.poll(timeout_ms=200).values():
                found.extend(decode_event(record.value) for record in records)
        return found
