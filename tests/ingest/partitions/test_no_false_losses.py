"""Restarts, transactions and members that come and go are no loss of records."""

from __future__ import annotations

from contextlib import closing
from uuid import uuid4

import msgspec
import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from event_store.database import Database
from ingest.partitions.starting_offsets import open_streams
from ingest.partitions.topics import Topics
from ingest.settings import IngestSettings
from tests.ingest.partitions.kafka_topics import EVENTS, GAPS, Call, OwnBroker, Query, reading

pytestmark = [pytest.mark.needs_kafka, pytest.mark.usefixtures("intact")]


@pytest.mark.thorough  # a hundred restarts of ingest, and a member that waits for a broker's, are in each run
def test_restarts_of_the_broker_and_of_ingest_are_no_loss(
    own: OwnBroker, running: Call, query: Query
) -> None:
    for number in range(1, 4):
        own.publish(10)
        with running(own.settings) as run:
            run.until(lambda: query(EVENTS) == [(number * 10,)])  # noqa: B023 - called in this turn
        own.broker.kill() if number == 2 else own.broker.stop()
        own.broker.start()
    assert query(GAPS) == []


def _transactions(settings: IngestSettings, topic: str, message: Call) -> int:
    """Committed and aborted transactions, compressed batches, and plain ones between them; how many are to be read."""
    options = {
        "bootstrap_servers": list(settings.bootstrap_servers),
        "transactional_id": uuid4().hex,
        "compression_type": "gzip",
    }
    kept = 0
    with closing(KafkaProducer(**options)) as producer:
        producer.init_transactions()
        for number in range(1, 9):
            producer.begin_transaction()
            for _ in range(number):
                producer.send(topic, message(), partition=0)
            producer.flush()
            if number % 2:
                producer.commit_transaction()
                kept += number
            else:
                producer.abort_transaction()
    return kept


@pytest.mark.thorough
def test_a_hundred_restarts_over_transactions_and_parts_of_batches_find_no_loss(
    settings: IngestSettings,
    make_topic: Call,
    running: Call,
    publish: Call,
    admin: KafkaAdminClient,
    query: Query,
    message: Call,
    database: Database,
) -> None:
    name = make_topic(1)
    mine = msgspec.structs.replace(reading(settings, name), max_poll_records=3)
    at = TopicPartition(name, 0)
    total = 0
    with closing(Topics(mine)) as topics:
        for turn in range(5):
            kept = _transactions(settings, name, message)
            publish([message() for _ in range(4)], topic=name)
            with running(mine) as run:
                run.until(lambda: run.ingest.counters.accepted > 0)
                if turn % 2:
                    total += kept + 4
                    run.until(lambda: query(EVENTS) == [(total,)])  # noqa: B023
            for _ in range(20):
                found = topics.describe((name,))
                _, accepted = open_streams(
                    database,
                    found,
                    [at],
                    lambda questions: topics.logs(found, questions),  # noqa: B023
                    suspected={},
                    with_holes=[at],
                    accepted=None,
                )
                assert accepted == ()
            if not turn % 2:
                total += kept + 4
                with running(mine) as run:
                    run.until(lambda: query(EVENTS) == [(total,)])  # noqa: B023
            # What is read may be deleted, up to the middle of a batch.
            [(read,)] = query("SELECT next_offset FROM audit_trail.kafka_stream")
            admin.delete_records({at: read - turn})
    assert query(EVENTS) == [(total,)]


def test_members_of_a_group_that_come_and_go_find_no_loss(
    settings: IngestSettings, running: Call, publish: Call, query: Query, message: Call
) -> None:
    group = msgspec.structs.replace(settings, assignment="group", max_poll_records=7)
    with running(group) as stays:
        for turn in range(1, 6):
            with running(group) as leaves:
                publish([message() for _ in range(40)])
                stays.until(lambda: query(EVENTS) == [(turn * 40,)])  # noqa: B023 - called in this turn
            assert leaves.error is None
    assert query(GAPS) == []
