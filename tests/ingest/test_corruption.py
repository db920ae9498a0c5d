"""Batches that are damaged on the broker's disk stop their own partition, and nothing is skipped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kafka import KafkaAdminClient, KafkaProducer
from prometheus_client import CollectorRegistry

from audit_trail.embedded.kafka import ApacheKafka
from ingest.settings import IngestSettings

Query = Callable[..., list[tuple[Any, ...]]]
Call = Callable[..., Any]

pytestmark = pytest.mark.needs_kafka

TOPIC = "damaged"
OFFSETS = "SELECT partition, next_offset FROM audit_trail.kafka_stream ORDER BY partition"
HEADER = 61
"""Bytes of a batch in front of its records."""
CRC = 17
"""Where a batch's CRC is."""


@pytest.fixture
def kafka(server_folder: Path) -> Iterator[ApacheKafka]:
    with ApacheKafka(server_folder / "kafka") as server:
        yield server


@pytest.fixture
def mine(settings: IngestSettings, kafka: ApacheKafka) -> IngestSettings:
    return msgspec.structs.replace(
        settings, bootstrap_servers=(kafka.bootstrap_servers,), topics=(TOPIC,), watch_seconds=0.5
    )


def fill(kafka: ApacheKafka, partitions: int, batches: int, message: Call) -> None:
    """A topic whose partitions have `batches` batches each, of two records each."""
    with closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)) as admin:
        admin.create_topics(
            {TOPIC: {"num_partitions": partitions, "replication_factor": 1}}, wait_for_metadata=True
        )
    with closing(KafkaProducer(bootstrap_servers=kafka.bootstrap_servers, linger_ms=2000)) as producer:
        for _ in range(batches):
            for partition in range(partitions):
                for _ in range(2):
                    producer.send(TOPIC, message(), partition=partition)
            producer.flush()


def flip(kafka: ApacheKafka, partition: int, batch: int, at: int) -> None:
    """Flip the byte `at` in a batch of a partition's segment, as a failing disk may; flipped again, it is as it was."""
    segment = kafka.data_dir / "data" / f"{TOPIC}-{partition}" / f"{0:020d}.log"
    data = bytearray(segment.read_bytes())
    start = 0
    for _ in range(batch):
        start += 12 + int.from_bytes(data[start + 8 : start + 12], "big")
    data[start + at] ^= 0xFF
    segment.write_bytes(bytes(data))


def damage(kafka: ApacheKafka, *places: tuple[int, int, int]) -> None:
    """Flip bytes while the broker is down: each place is a partition, a batch of it and a byte of that."""
    kafka.stop()
    for place in places:
        flip(kafka, *place)
    kafka.start()


@pytest.mark.parametrize(
    ("assignment", "batch", "at"), [("static", 0, CRC), ("group", 2, HEADER + 20)], ids=["first", "third"]
)
def test_a_damaged_batch_stops_its_partition_and_the_others_go_on(
    assignment: str,
    batch: int,
    at: int,
    kafka: ApacheKafka,
    mine: IngestSettings,
    running: Call,
    query: Query,
    message: Call,
) -> None:
    fill(kafka, 3, 4, message)
    damage(kafka, (1, batch, at))
    with running(msgspec.structs.replace(mine, assignment=assignment)) as run:
        run.until(lambda: query(OFFSETS) == [(0, 8), (1, 2 * batch), (2, 8)], seconds=60)
        run.until(lambda: any("damaged-1 is stopped at offset" in it for it in run.ingest.problems()))
        [problem] = [it for it in run.ingest.problems() if "stopped" in it]
        assert f"at offset {2 * batch} " in problem
        assert run.registry.get_sample_value(
            "audit_trail_ingest_partition_stopped", {"topic": TOPIC, "partition": "1"}
        ) == float(2 * batch)
        assert restarts(run.registry) == 0
        # What comes while a partition stands is read without delay: several tries of the damaged one pass.
        with closing(KafkaProducer(bootstrap_servers=kafka.bootstrap_servers)) as producer:
            for _ in range(10):
                for partition in range(3):
                    producer.send(TOPIC, message(), partition=partition)
                producer.flush()
                time.sleep(0.3)
        run.until(lambda: query(OFFSETS) == [(0, 18), (1, 2 * batch), (2, 18)])
        assert restarts(run.registry) == 0
    assert query("SELECT count(*) FROM audit_trail.event") == [(36 + 2 * batch,)]


def test_a_batch_that_was_restored_is_read_and_nothing_is_skipped(
    kafka: ApacheKafka, mine: IngestSettings, running: Call, query: Query, message: Call
) -> None:
    fill(kafka, 2, 3, message)
    damage(kafka, (0, 1, HEADER + 20))
    with running(mine) as run:
        run.until(lambda: query(OFFSETS) == [(0, 2), (1, 6)])
        run.until(lambda: any("stopped" in it for it in run.ingest.problems()))
        damage(kafka, (0, 1, HEADER + 20))
        run.until(lambda: query(OFFSETS) == [(0, 6), (1, 6)], seconds=60)
        run.until(lambda: run.ingest.problems() == [])
        assert (
            run.registry.get_sample_value(
                "audit_trail_ingest_partition_stopped", {"topic": TOPIC, "partition": "0"}
            )
            is None
        )
    assert query("SELECT count(*), count(DISTINCT event_id) FROM audit_trail.event") == [(12, 12)]


def test_several_damaged_partitions_each_stand_where_they_are_damaged(
    kafka: ApacheKafka, mine: IngestSettings, running: Call, query: Query, message: Call
) -> None:
    fill(kafka, 4, 3, message)
    damage(kafka, (0, 0, HEADER + 5), (1, 1, CRC + 1), (3, 2, HEADER + 30))
    with running(mine) as run:
        run.until(lambda: query(OFFSETS) == [(0, 0), (1, 2), (2, 6), (3, 4)])
        run.until(lambda: len([it for it in run.ingest.problems() if "stopped" in it]) == 3)
        time.sleep(3)
        assert query(OFFSETS) == [(0, 0), (1, 2), (2, 6), (3, 4)]
        assert restarts(run.registry) == 0


def test_a_batch_whose_length_is_damaged_stops_its_partition_too(
    kafka: ApacheKafka, mine: IngestSettings, running: Call, query: Query, message: Call
) -> None:
    """The broker itself may notice this one, and answers with an error that names no offset."""
    fill(kafka, 2, 3, message)
    damage(kafka, (0, 1, 8))
    with running(mine) as run:
        run.until(lambda: query(OFFSETS)[1] == (1, 6))
        run.until(lambda: any("stopped" in it for it in run.ingest.problems()), seconds=60)
        assert query(OFFSETS) == [(0, 2), (1, 6)]


def restarts(registry: CollectorRegistry) -> float:
    """How many Kafka clients were replaced."""
    return sum(
        sample.value
        for metric in registry.collect()
        if metric.name == "audit_trail_ingest_client_restarts"
        for sample in metric.samples
        if sample.name.endswith("_total")
    )
