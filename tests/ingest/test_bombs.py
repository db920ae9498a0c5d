"""Compressed batches that unpack to far more than they say: one dead letter each, in little memory."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from contextlib import closing
from uuid import uuid4

import msgspec
import pytest
from kafka import KafkaProducer

from audit_trail.embedded.broker import Broker
from domain.errors import ConfigurationError, Reason
from event_store.database import INGEST, Database
from ingest.dead_letters import DeadLetterDesk
from ingest.partitions.offsets import OffsetDesk
from ingest.records.unread import VALUE_KEPT
from ingest.settings import IngestSettings
from tests.audit_trail.programs import environment, eventually
from tests.ingest.large_messages import CODECS, EVENTS, LARGE, LETTERS, MIB, Call, Query, padded, send


@pytest.mark.needs_kafka
@pytest.mark.parametrize("codec", CODECS)
def test_a_bomb_is_one_dead_letter_and_ingest_goes_on_behind_it(
    codec: str,
    settings: IngestSettings,
    large_topic: str,
    running: Call,
    query: Query,
    message: Call,
    desk: DeadLetterDesk,
) -> None:
    mine = msgspec.structs.replace(settings, topics=(large_topic,), max_batch_bytes=16 * MIB)
    send(settings, large_topic, [message()])
    send(settings, large_topic, [bytes(100 * MIB)], codec)
    send(settings, large_topic, [message()], codec)
    with running(mine) as run:
        run.until(lambda: run.ingest.counters.received == 3, seconds=60)
        assert (run.ingest.counters.accepted, run.ingest.counters.rejected) == (2, {Reason.OVERSIZED: 1})
    assert query(EVENTS) == [(2,)]
    assert query("SELECT next_offset FROM audit_trail.kafka_stream") == [(3,)]
    [(id, offset, last, kept_codec, count, kept, size)] = query(
        'SELECT id, "offset", last_offset, codec, record_count, value, value_size FROM audit_trail.dead_letter'
    )
    assert (offset, last, kept_codec, count) == (1, 1, codec, 1)
    assert len(kept) == VALUE_KEPT if size else len(kept) < VALUE_KEPT
    with pytest.raises(ConfigurationError, match=rf"topic {large_topic}, partition 0, offsets 1 to 1"):
        desk.requeue(id, lambda _: None, by="a", reason="b")
    desk.dismiss(id, by="a", reason="b")


@pytest.mark.needs_kafka
def test_a_bomb_of_several_records_is_one_dead_letter_with_all_its_offsets(
    settings: IngestSettings, large_topic: str, running: Call, query: Query, message: Call
) -> None:
    with closing(
        KafkaProducer(
            bootstrap_servers=list(settings.bootstrap_servers),
            compression_type="zstd",
            max_request_size=1 << 30,
            batch_size=1 << 30,
            linger_ms=3000,
        )
    ) as producer:
        sent = [producer.send(large_topic, bytes(5 * MIB), partition=0) for _ in range(6)]
        producer.flush()
        assert [each.get().offset for each in sent] == list(range(6))
    send(settings, large_topic, [message()])
    mine = msgspec.structs.replace(settings, topics=(large_topic,), max_batch_bytes=16 * MIB)
    with running(mine) as run:
        run.until(lambda: run.ingest.counters.accepted == 1)
    letters = query('SELECT "offset", last_offset, record_count FROM audit_trail.dead_letter')
    assert letters == [(0, 5, 6)]
    assert query("SELECT next_offset FROM audit_trail.kafka_stream") == [(7,)]


@pytest.mark.needs_kafka
def test_a_bomb_in_a_transaction_that_was_aborted_is_nothing(
    settings: IngestSettings, large_topic: str, running: Call, query: Query, message: Call
) -> None:
    with closing(
        KafkaProducer(
            bootstrap_servers=list(settings.bootstrap_servers),
            transactional_id=uuid4().hex,
            compression_type="zstd",
            max_request_size=1 << 30,
        )
    ) as producer:
        producer.init_transactions()
        for commits in (False, True):
            producer.begin_transaction()
            producer.send(large_topic, bytes(40 * MIB), partition=0)
            producer.send(large_topic, message(), partition=0)
            producer.flush()
            if commits:
                producer.commit_transaction()
            else:
                producer.abort_transaction()
    mine = msgspec.structs.replace(settings, topics=(large_topic,), max_batch_bytes=16 * MIB)
    with running(mine) as run:
        run.until(lambda: run.ingest.counters.received == 2, seconds=60)
    assert query(EVENTS) == [(1,)]
    assert query(LETTERS) == [(1,)]


@pytest.mark.needs_kafka
def test_bombs_in_transactions_are_passed_by_members_that_come_and_go(
    settings: IngestSettings,
    make_topic: Call,
    running: Call,
    query: Query,
    message: Call,
    migrated_url: str,
) -> None:
    """An aborted bomb is not looked at. A committed one is one dead letter, also when its partition changes hands."""
    name = make_topic(2, LARGE)
    mine = msgspec.structs.replace(
        settings, topics=(name,), assignment="group", max_batch_bytes=16 * MIB, max_poll_records=1
    )
    options = {"compression_type": "zstd", "max_request_size": 1 << 30, "batch_size": 1 << 30}
    with closing(
        KafkaProducer(
            bootstrap_servers=list(settings.bootstrap_servers),
            transactional_id=uuid4().hex,
            linger_ms=3000,
            **options,
        )
    ) as producer:
        producer.init_transactions()
        for commit in (True, False, True):
            producer.begin_transaction()
            for partition in range(2):
                producer.send(name, message(), partition=partition)
                for _ in range(3):
                    producer.send(name, bytes(10 * MIB), partition=partition)
            producer.flush()
            if commit:
                producer.commit_transaction()
            else:
                producer.abort_transaction()
    ends = "SELECT partition, next_offset FROM audit_trail.kafka_stream ORDER BY partition"
    with running(mine) as one:
        one.until(lambda: one.ingest.counters.received > 0, seconds=60)
        with running(mine):
            one.until(lambda: query(ends) == [(0, 15), (1, 15)], seconds=60)
    letters = 'SELECT partition, "offset", last_offset FROM audit_trail.dead_letter ORDER BY 1, 2'
    assert query(letters) == [(p, first, first + 3) for p in range(2) for first in (0, 10)]
    with OffsetDesk(mine, Database(migrated_url, INGEST)) as offsets:
        assert offsets.losses() == []
    with running(mine) as run:
        send(settings, name, [message()])
        run.until(lambda: run.ingest.counters.accepted == 1, seconds=60)


@pytest.mark.needs_kafka
@pytest.mark.thorough
def test_in_little_memory_it_gets_through_the_largest_messages_and_bombs_of_every_codec(
    settings: IngestSettings,
    broker: Broker,
    make_topic: Call,
    migrated_url: str,
    query: Query,
    message: Call,
) -> None:
    """384 MiB of memory, for 400 MiB of events, 100 MiB of dead letters, and a gigabyte of bombs."""
    topic = make_topic(1, LARGE)
    largest = padded(message, MIB)
    for _ in range(4):
        send(settings, topic, [padded(message, MIB) for _ in range(100)], "zstd", linger_ms=0)
    send(settings, topic, [b"x" * MIB] * 100, "zstd", linger_ms=0)
    for codec in CODECS:
        send(settings, topic, [bytes(256 * MIB), largest], codec)
    total = 400 + 100 + 2 * len(CODECS)
    variables = environment(
        database_url=migrated_url,
        kafka_bootstrap_servers=broker.bootstrap_servers,
        kafka_topics=topic,
        kafka_assignment="static",
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "audit_trail", "ingest"],
        env=variables,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (384 * MIB, 384 * MIB)),  # noqa: PLW1509
    )
    try:
        assert eventually(
            lambda: (
                process.poll() is not None
                or query("SELECT sum(next_offset)::int FROM audit_trail.kafka_stream") == [(total,)]
            ),
            120,
        )
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
    assert query(EVENTS) == [(401,)]
    assert query(LETTERS) == [(100 + len(CODECS),)]
