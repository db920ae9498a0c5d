"""Batches that are damaged on the broker's disk stop their own partition, and nothing is skipped."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import msgspec
import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from prometheus_client import CollectorRegistry

from audit_trail.embedded.broker import Broker
from audit_trail.embedded.kafka import ApacheKafka
from ingest.settings import IngestSettings
from ingest.streams import RecordsLostError
from tests.ingest.conftest import accepting

Query = Callable[..., list[tuple[Any, ...]]]
Call = Callable[..., Any]

pytestmark = pytest.mark.needs_kafka

OFFSETS = "SELECT partition, next_offset FROM audit_trail.kafka_stream ORDER BY partition"
HEADER = 61
"""Bytes of a batch in front of its records."""
LENGTH = 8
CRC = 17
"""Where a batch has its length and its CRC."""


class Damage:
    """A topic whose partitions have batches of two records each, on the disk of the broker of all tests."""

    def __init__(self, broker: ApacheKafka, topic: str, message: Call) -> None:
        self.topic = topic
        self._broker = broker
        self._message = message

    def fill(self, partitions: int, batches: int) -> None:
        """Publish `batches` batches to each partition."""
        servers = self._broker.bootstrap_servers
        with closing(KafkaProducer(bootstrap_servers=servers, linger_ms=2000)) as producer:
            for _ in range(batches):
                for partition in range(partitions):
                    for _ in range(2):
                        producer.send(self.topic, self._message(), partition=partition)
                producer.flush()

    def flip(self, partition: int, batch: int, at: int) -> None:
        """Flip one byte of a batch in its segment, as a failing disk does. Flipped again, it is as it was."""
        segment = self._broker.data_dir / "data" / f"{self.topic}-{partition}" / f"{0:020d}.log"
        with segment.open("r+b") as file:
            data = file.read()
            start = 0
            for _ in range(batch):
                start += 12 + int.from_bytes(data[start + LENGTH : start + LENGTH + 4], "big")
            file.seek(start + at)
            file.write(bytes([data[start + at] ^ 0xFF]))


@pytest.fixture
def damage(broker: Broker, make_topic: Call, message: Call) -> Damage:
    assert isinstance(broker, ApacheKafka)
    return Damage(broker, make_topic(4), message)


@pytest.fixture
def mine(settings: IngestSettings, damage: Damage) -> IngestSettings:
    return msgspec.structs.replace(settings, topics=(damage.topic,), watch_seconds=0.5)


def stopped(run: Any) -> list[str]:
    """What readiness says of the partitions that stand."""
    return [problem for problem in run.ingest.problems() if "is stopped at offset" in problem]


@pytest.mark.parametrize(
    ("assignment", "batch", "at"), [("static", 0, CRC), ("group", 2, HEADER + 20)], ids=["first", "third"]
)
def test_a_damaged_batch_stops_its_partition_and_the_others_go_on(
    assignment: str,
    batch: int,
    at: int,
    damage: Damage,
    mine: IngestSettings,
    running: Call,
    query: Query,
) -> None:
    damage.fill(4, 4)
    damage.flip(1, batch, at)
    with running(msgspec.structs.replace(mine, assignment=assignment)) as run:
        run.until(lambda: query(OFFSETS) == [(0, 8), (1, 2 * batch), (2, 8), (3, 8)], seconds=60)
        run.until(lambda: stopped(run), seconds=60)
        assert f"{damage.topic}-1 is stopped at offset {2 * batch} " in stopped(run)[0]
        labels = {"topic": damage.topic, "partition": "1"}
        assert run.registry.get_sample_value("audit_trail_ingest_partition_stopped", labels) == 2 * batch
        # What comes while a partition stands is read: several tries of the damaged one pass meanwhile.
        for _ in range(5):
            damage.fill(4, 1)
            time.sleep(0.5)
        run.until(lambda: query(OFFSETS) == [(0, 18), (1, 2 * batch), (2, 18), (3, 18)], seconds=60)
        assert restarts(run.registry) == 0
    assert query("SELECT count(*) FROM audit_trail.event") == [(54 + 2 * batch,)]


def test_a_batch_that_was_restored_is_read_and_nothing_is_skipped(
    damage: Damage, mine: IngestSettings, running: Call, query: Query
) -> None:
    damage.fill(4, 3)
    damage.flip(0, 1, HEADER + 20)
    with running(mine) as run:
        run.until(lambda: query(OFFSETS) == [(0, 2), (1, 6), (2, 6), (3, 6)], seconds=60)
        run.until(lambda: stopped(run), seconds=60)
        damage.flip(0, 1, HEADER + 20)
        run.until(lambda: query(OFFSETS) == [(0, 6), (1, 6), (2, 6), (3, 6)], seconds=90)
        run.until(lambda: run.ingest.problems() == [], seconds=60)
        labels = {"topic": damage.topic, "partition": "0"}
        assert run.registry.get_sample_value("audit_trail_ingest_partition_stopped", labels) is None
    assert query("SELECT count(*), count(DISTINCT event_id) FROM audit_trail.event") == [(24, 24)]


def test_a_damaged_batch_that_is_deleted_in_kafka_is_a_loss_that_an_operator_accepts(
    damage: Damage, mine: IngestSettings, running: Call, stopping: Call, query: Query
) -> None:
    """The way on that `docs/how-to/operate.md` and the log line name, where there is no good replica."""
    damage.fill(4, 3)
    damage.flip(1, 1, HEADER + 20)
    with stopping(mine, RecordsLostError, "partition 1: offsets 2 to 3 were deleted") as run:
        run.until(lambda: query(OFFSETS) == [(0, 6), (1, 2), (2, 6), (3, 6)] and stopped(run), seconds=60)
        with closing(KafkaAdminClient(bootstrap_servers=list(mine.bootstrap_servers))) as admin:
            admin.delete_records({TopicPartition(damage.topic, 1): 4})
    with running(accepting(mine)) as run:
        run.until(lambda: query(OFFSETS) == [(0, 6), (1, 6), (2, 6), (3, 6)], seconds=60)
    gaps = "SELECT count(*) FROM audit_trail.event WHERE type = 'recording.gap'"
    assert query(gaps) == [(1,)]


def test_several_damaged_partitions_each_stand_where_they_are_damaged(
    damage: Damage, mine: IngestSettings, running: Call, query: Query
) -> None:
    """Of one partition the length of a batch is damaged, which the client takes for an incomplete batch."""
    damage.fill(4, 3)
    for place in ((0, 0, HEADER + 5), (1, 1, CRC + 1), (3, 2, LENGTH + 3)):
        damage.flip(*place)
    with running(mine) as run:
        run.until(lambda: query(OFFSETS) == [(0, 0), (1, 2), (2, 6), (3, 4)], seconds=60)
        run.until(lambda: len(stopped(run)) == 3, seconds=60)
        time.sleep(3)
        assert query(OFFSETS) == [(0, 0), (1, 2), (2, 6), (3, 4)]
        assert restarts(run.registry) == 0


def restarts(registry: CollectorRegistry) -> float:
    """How many Kafka clients were replaced."""
    return sum(
        sample.value
        for metric in registry.collect()
        if metric.name == "audit_trail_ingest_client_restarts"
        for sample in metric.samples
        if sample.name.endswith("_total")
    )
