"""The servers that everything is measured on: an embedded PostgreSQL with fsync on, and a broker."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg2
from kafka.admin import KafkaAdminClient
from psycopg2 import sql

from audit_trail.embedded import kafka
from audit_trail.embedded.broker import Broker
from audit_trail.embedded.postgres import EmbeddedPostgres
from audit_trail.embedded.tansu import TansuBroker
from benchmarks.corpus import Corpus
from event_store.migrations import migrate
from ingest.publisher import Message, Publisher
from ingest.settings import IngestSettings

PARTITIONS = 4
_PUBLISH = 10_000


class Bench(NamedTuple):
    """What a benchmark gets."""

    postgres: EmbeddedPostgres
    broker: Broker
    broker_name: str
    corpus: Corpus
    events: int
    runs: int

    @contextmanager
    def database(self, *, migrated: bool = True) -> Iterator[str]:
        """The URL of a fresh database, dropped afterwards."""
        name = sql.Identifier(f"bench_{uuid.uuid4().hex}")
        self._execute(sql.SQL("CREATE DATABASE {}").format(name))
        try:
            url = self.postgres.url_for(name.strings[0])
            if migrated:
                migrate(url)
            yield url
        finally:
            self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))

    def settle(self) -> None:
        """A checkpoint, so that every measurement begins with the same: nothing left to write of the one before."""
        self._execute(sql.SQL("CHECKPOINT"))

    def ingest_settings(self, topic: str) -> IngestSettings:
        """As in production, but for the assignment: a group join belongs to no event."""
        return IngestSettings(
            bootstrap_servers=(self.broker.bootstrap_servers,), topics=(topic,), assignment="static"
        )

    def publish(self, messages: Sequence[bytes], keys: Sequence[bytes]) -> str:
        """The name of a fresh topic that holds `messages`."""
        topic = f"bench-{uuid.uuid4().hex}"
        options = {"num_partitions": PARTITIONS, "replication_factor": 1}
        with closing(KafkaAdminClient(bootstrap_servers=self.broker.bootstrap_servers)) as admin:
            admin.create_topics({topic: options}, wait_for_metadata=True)
        with closing(Publisher(self.ingest_settings(topic))) as publisher:
            for at in range(0, len(messages), _PUBLISH):
                part = zip(keys[at : at + _PUBLISH], messages[at : at + _PUBLISH], strict=True)
                publisher.publish([Message(topic, key, value) for key, value in part])
        return topic

    def _execute(self, statement: sql.Composable) -> None:
        with closing(psycopg2.connect(self.postgres.url_for("postgres"))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)


@contextmanager
def servers(corpus: Corpus, events: int, runs: int, broker: str) -> Iterator[Bench]:
    """Everything started, and stopped and removed at the end."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="audit-trail-bench-")))
        folder.chmod(0o711)  # as root, PostgreSQL runs as another account, which has to get in
        postgres = stack.enter_context(EmbeddedPostgres(folder / "postgres"))
        if broker == "kafka" or (broker == "auto" and kafka.available()):
            running: Broker = stack.enter_context(kafka.ApacheKafka(folder / "kafka"))
            name = "Apache Kafka"
        else:
            running = stack.enter_context(TansuBroker(log=folder / "tansu.log"))
            name = "Tansu (embedded, in memory)"
        yield Bench(postgres, running, name, corpus, events, runs)
