"""Whatever is killed, restarted or taken away: every record is in the store exactly once."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from audit_trail.embedded.broker import Broker
from event_store.database import INGEST, Database
from event_store.migrations import migrate
from ingest.pipeline import Ingest
from ingest.settings import IngestSettings
from tests.servers import postgres_server
from tests.signing import signer

Query = Callable[..., list[tuple[Any, ...]]]
Call = Callable[..., Any]

ROOT = Path(__file__).parents[2]
COUNTS = "SELECT count(*), count(DISTINCT event_id) FROM audit_trail.event"


def test_killed_in_mid_stream_it_loses_and_doubles_nothing(
    settings: IngestSettings,
    broker: Broker,
    topic: str,
    migrated_url: str,
    publish: Call,
    running: Call,
    query: Query,
    message: Call,
) -> None:
    total = 6000
    publish([message() for _ in range(total)])
    command = [
        sys.executable,
        "-m",
        "tests.ingest.ingest_process",
        migrated_url,
        broker.bootstrap_servers,
        topic,
    ]
    for _ in range(2):
        before = query(COUNTS)[0][0]
        process = subprocess.Popen(
            [*command, settings.group_id, "static", "0.2"], cwd=ROOT, stdout=subprocess.DEVNULL
        )
        until = time.monotonic() + 30
        while query(COUNTS)[0][0] == before and time.monotonic() < until:
            time.sleep(0.005)
        process.kill()
        process.wait()
        assert before < query(COUNTS)[0][0] < total, "it was not killed in mid-stream"
    rest = total - query(COUNTS)[0][0]
    with running(settings) as run:
        run.until(lambda: run.ingest.counters.received == rest)
    assert run.ingest.counters.duplicates == 0
    assert query(COUNTS) == [(total, total)]


def test_a_sigterm_commits_the_append_in_flight_and_the_exit_is_clean(
    settings: IngestSettings,
    broker: Broker,
    topic: str,
    migrated_url: str,
    publish: Call,
    query: Query,
    message: Call,
) -> None:
    publish([message() for _ in range(3000)])
    command = [
        sys.executable,
        "-m",
        "tests.ingest.ingest_process",
        migrated_url,
        broker.bootstrap_servers,
        topic,
    ]
    process = subprocess.Popen(
        [*command, settings.group_id, "static"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 30
    while query(COUNTS)[0][0] == 0 and time.monotonic() < until:
        time.sleep(0.005)
    process.terminate()
    said, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    stored = query(COUNTS)[0][0]
    assert stored > 0
    assert f"accepted={stored} " in said
    assert query("SELECT sum(next_offset)::int FROM audit_trail.kafka_stream") == [(stored,)]


def test_a_database_that_restarts_is_waited_for(
    settings: IngestSettings, server_folder: Path, publish: Call, running: Call, message: Call
) -> None:
    with postgres_server(server_folder / "postgres") as server:
        migrate(server.url)
        with closing(Database(server.url, INGEST)) as database:
            with running(settings, database) as run:
                publish([message() for _ in range(500)])
                run.until(lambda: run.ingest.counters.accepted == 500)
                server.kill()
                publish([message() for _ in range(500)])
                time.sleep(0.5)
                assert run.ingest.counters.accepted == 500
                server.start()
                run.until(lambda: run.ingest.counters.received >= 1000)
            with database.transaction() as connection, connection.cursor() as cursor:
                cursor.execute(COUNTS)
                assert cursor.fetchone() == (1000, 1000)


def test_stopped_while_the_database_is_away_it_ends_and_loses_nothing(
    settings: IngestSettings, server_folder: Path, publish: Call, running: Call, message: Call
) -> None:
    with postgres_server(server_folder / "postgres") as server:
        migrate(server.url)
        with closing(Database(server.url, INGEST)) as database:
            with running(settings, database) as run:
                publish([message()])
                run.until(lambda: run.ingest.counters.accepted == 1)
                server.stop()
                publish([message()])
                time.sleep(0.5)
            server.start()
            with running(settings, database) as again:
                again.until(lambda: again.ingest.counters.accepted == 1)


def test_two_that_read_the_same_partitions_fence_each_other_and_double_nothing(
    settings: IngestSettings, publish: Call, running: Call, query: Query, message: Call
) -> None:
    small = msgspec.structs.replace(settings, max_poll_records=50)
    publish([message() for _ in range(2000)])
    with running(small) as one, running(small) as two:
        one.until(lambda: one.ingest.counters.received + two.ingest.counters.received == 2000)
        assert one.ingest.counters.duplicates + two.ingest.counters.duplicates == 0
    assert query(COUNTS) == [(2000, 2000)]


def test_metrics_say_what_became_of_the_records(
    settings: IngestSettings, database: Database, publish: Call, message: Call
) -> None:
    import threading  # noqa: PLC0415

    registry = CollectorRegistry()
    value = message()
    publish([value, value, b"{"], key=b"k")
    ingest = Ingest(settings, database, signer(), registry=registry)
    thread = threading.Thread(target=ingest.run)
    thread.start()
    until = time.monotonic() + 30
    while ingest.counters.received < 3 and time.monotonic() < until:
        time.sleep(0.02)
    ingest.stop()
    thread.join()

    def records(outcome: str) -> float | None:
        return registry.get_sample_value("audit_trail_ingest_records_total", {"outcome": outcome})

    assert [records(name) for name in ("accepted", "duplicate", "conflict", "rejected")] == [1, 1, 0, 1]
    assert registry.get_sample_value("audit_trail_ingest_rejected_total", {"reason": "invalid_json"}) == 1


@pytest.mark.needs_kafka
def test_two_members_share_the_partitions_and_one_takes_over_when_the_other_leaves(
    settings: IngestSettings, publish: Call, running: Call, query: Query, message: Call
) -> None:
    group = msgspec.structs.replace(settings, assignment="group", max_poll_records=200)
    with running(group) as stays:
        with running(group) as leaves:
            for _ in range(40):
                publish([message() for _ in range(100)])
                if leaves.ingest.counters.received and stays.ingest.counters.received:
                    break
                time.sleep(0.2)
            assert leaves.ingest.counters.received, "the second member got no partition"
            publish([message() for _ in range(3000)])
        publish([message() for _ in range(1000)])
        sent = query_end(settings)
        stays.until(lambda: query(COUNTS)[0][0] == sent)
        assert stays.ingest.counters.received + leaves.ingest.counters.received == sent
    assert query(COUNTS) == [(sent, sent)]


@pytest.mark.needs_kafka
def test_the_group_goes_on_after_a_member_was_killed(
    settings: IngestSettings,
    broker: Broker,
    topic: str,
    migrated_url: str,
    publish: Call,
    running: Call,
    query: Query,
    message: Call,
) -> None:
    publish([message() for _ in range(2000)])
    command = [
        sys.executable,
        "-m",
        "tests.ingest.ingest_process",
        migrated_url,
        broker.bootstrap_servers,
        topic,
    ]
    process = subprocess.Popen([*command, settings.group_id, "group"], cwd=ROOT, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 30
    while query(COUNTS)[0][0] == 0 and time.monotonic() < until:
        time.sleep(0.005)
    process.kill()
    process.wait()
    with running(msgspec.structs.replace(settings, assignment="group")) as run:
        run.until(lambda: query(COUNTS)[0][0] == 2000, seconds=60)
    assert query(COUNTS) == [(2000, 2000)]


def query_end(settings: IngestSettings) -> int:
    """How many records Kafka has."""
    from kafka import KafkaConsumer, TopicPartition  # noqa: PLC0415

    with closing(KafkaConsumer(bootstrap_servers=list(settings.bootstrap_servers))) as consumer:
        [name] = settings.topics
        partitions = [TopicPartition(name, number) for number in consumer.partitions_for_topic(name)]
        return sum(consumer.end_offsets(partitions).values())
