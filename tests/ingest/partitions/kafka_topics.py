"""Topics of Apache Kafka that change or lose records, and a broker whose disk can be put back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource

from audit_trail.embedded.kafka import ApacheKafka
from ingest.publisher import Message, Publisher
from ingest.settings import IngestSettings

Query = Callable[..., list[tuple[Any, ...]]]


Call = Callable[..., Any]


EVENTS = "SELECT count(*) FROM audit_trail.event WHERE type <> 'recording.gap'"


GAPS = (
    "SELECT gap ->> 'cause', (gap ->> 'partition')::int, (gap ->> 'first_lost_offset')::int,"
    " (gap ->> 'last_lost_offset')::int, (gap ->> 'count')::int, (gap ->> 'continued_from')::int"
    " FROM (SELECT convert_from(body, 'utf8')::jsonb -> 'attributes' AS gap FROM audit_trail.event"
    " WHERE type = 'recording.gap' ORDER BY position) AS gaps"
)


def alter(admin: KafkaAdminClient, topic: str, **configs: str) -> None:
    admin.alter_configs(
        [ConfigResource("TOPIC", topic, {k.replace("_", "."): v for k, v in configs.items()})]
    )


def reading(settings: IngestSettings, topic: str) -> IngestSettings:
    return msgspec.structs.replace(settings, topics=(topic,))


def read(running: Call, settings: IngestSettings, number: int) -> None:
    """Run ingest until it has accepted `number` records, and stop it."""
    with running(settings) as run:
        run.until(lambda: run.ingest.counters.accepted == number)


class OwnBroker:
    """A broker of the test's own, whose disk can be put back to an earlier state."""

    def __init__(self, folder: Path, settings: IngestSettings, message: Call) -> None:
        self.broker = ApacheKafka(folder / "kafka")
        self._kept = folder / "kept"
        self._settings = settings
        self._message = message

    @property
    def settings(self) -> IngestSettings:
        """To read topic `t` of this broker."""
        return msgspec.structs.replace(
            self._settings, bootstrap_servers=(self.broker.bootstrap_servers,), topics=("t",)
        )

    def make(self) -> None:
        """Make topic `t`."""
        with closing(KafkaAdminClient(bootstrap_servers=self.broker.bootstrap_servers)) as admin:
            admin.create_topics({"t": {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)

    def publish(self, number: int) -> None:
        """So many new records, a batch each, so that the log can be cut between any two."""
        with closing(Publisher(self.settings)) as publisher:
            for _ in range(number):
                publisher.publish([Message("t", None, self._message())])

    def keep(self) -> None:
        """Copy the disk while the broker is stopped, and start it again."""
        self.broker.stop()
        shutil.copytree(self.broker.data_dir / "data", self._kept)
        self.broker.start()

    def restore(self, only: str = "") -> None:
        """Put the disk back, or the folders of it whose names begin with `only`, and start the broker again."""
        self.broker.stop()
        data = self.broker.data_dir / "data"
        for folder in [data] if not only else sorted(data.glob(f"{only}*")):
            shutil.rmtree(folder)
            kept = self._kept / folder.relative_to(data)
            if kept.exists():
                shutil.copytree(kept, folder)
        self.broker.start()
