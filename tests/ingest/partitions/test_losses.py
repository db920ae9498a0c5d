"""Whatever happens to Kafka's records while ingest is away or at work: none goes missing without a word."""

from __future__ import annotations

import shutil
import time
from contextlib import closing
from typing import Any

import msgspec
import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from domain.errors import ConfigurationError, LogInconsistentError
from ingest.publisher import Message, Publisher
from ingest.settings import IngestSettings
from tests.ingest.conftest import accepting
from tests.ingest.partitions.kafka_topics import EVENTS, GAPS, Call, OwnBroker, Query, alter, read, reading

pytestmark = [pytest.mark.needs_kafka, pytest.mark.usefixtures("intact")]


@pytest.mark.parametrize("policy", ["compact", "compact,delete"])
def test_a_compacted_topic_is_refused_at_the_start(
    policy: str,
    settings: IngestSettings,
    make_topic: Call,
    stopping: Call,
    publish: Call,
    query: Query,
    message: Call,
) -> None:
    name = make_topic(1, {"cleanup.policy": policy})
    publish([message()], topic=name, key=b"patient")
    with stopping(reading(settings, name), ConfigurationError, "cleanup.policy=delete"):
        pass
    assert query(EVENTS) == [(0,)]


def test_a_topic_that_becomes_compacted_is_refused_while_ingest_runs(
    settings: IngestSettings,
    make_topic: Call,
    stopping: Call,
    publish: Call,
    admin: KafkaAdminClient,
    message: Call,
) -> None:
    name = make_topic(1)
    publish([message()], topic=name)
    with stopping(reading(settings, name), ConfigurationError, name) as run:
        run.until(lambda: run.ingest.counters.accepted == 1)
        alter(admin, name, cleanup_policy="compact")


def test_records_that_compaction_removed_while_ingest_was_away_are_named(
    settings: IngestSettings,
    make_topic: Call,
    running: Call,
    stopping: Call,
    publish: Call,
    admin: KafkaAdminClient,
    query: Query,
    message: Call,
) -> None:
    name = make_topic(1)
    mine = reading(settings, name)
    # Of the batch that is read, compaction leaves the record in the middle.
    with closing(Publisher(mine)) as publisher:
        publisher.publish([Message(name, key, message()) for key in (b"k", b"once", b"k")])
    read(running, mine, 3)
    alter(
        admin, name, cleanup_policy="compact", segment_ms="100", min_cleanable_dirty_ratio="0.001",
        min_compaction_lag_ms="0", max_compaction_lag_ms="100",
    )  # fmt: skip
    for _ in range(3):
        publish([message() for _ in range(10)], topic=name, key=b"k")
        time.sleep(0.3)
    publish([message()], topic=name, key=b"k")
    until = time.monotonic() + 60
    while _records(settings, name, 3) > 20 and time.monotonic() < until:
        time.sleep(0.5)
        publish([message()], topic=name, key=b"k")
    alter(admin, name, cleanup_policy="delete", segment_ms="604800000")
    left = _records(settings, name, 3)
    assert left < 31
    with stopping(mine, LogInconsistentError, "partition 0: .*offsets 3 to ") as run:
        pass
    assert run.registry.get_sample_value("audit_trail_ingest_offsets_lost", {"topic": name, "partition": "0"})
    stored = query(EVENTS)[0][0]
    with running(accepting(mine)) as run:
        run.until(lambda: query(EVENTS) == [(3 + left,)])
    assert stored == 3
    assert {row[0] for row in query(GAPS)} <= {"compacted", "records_missing"}
    lost = sum(row[4] for row in query(GAPS))
    end = query("SELECT next_offset FROM audit_trail.kafka_stream")[0][0]
    assert 3 + left + lost == end
    # The same gaps are accepted once: another start says nothing.
    with running(mine) as run:
        publish([message()], topic=name)
        run.until(lambda: run.ingest.counters.accepted == 1)


def _records(settings: IngestSettings, topic: str, start: int) -> int:
    """How many records Kafka has of partition 0 from an offset on."""
    from kafka import KafkaConsumer  # noqa: PLC0415

    partition = TopicPartition(topic, 0)
    with closing(KafkaConsumer(bootstrap_servers=list(settings.bootstrap_servers))) as consumer:
        consumer.assign([partition])
        end = consumer.end_offsets([partition])[partition]
        consumer.seek(partition, start)
        number = 0
        while consumer.position(partition) < end:
            number += sum(map(len, consumer.poll(500).values()))
    return number


def test_a_topic_that_was_made_again_while_ingest_was_away_stops_it(
    settings: IngestSettings,
    make_topic: Call,
    running: Call,
    stopping: Call,
    publish: Call,
    admin: KafkaAdminClient,
    query: Query,
    message: Call,
) -> None:
    name = make_topic(2)
    mine = reading(settings, name)
    publish([message() for _ in range(10)], topic=name, key=b"k")
    read(running, mine, 10)
    publish([message() for _ in range(30)], topic=name, key=b"k")
    _make_again(admin, name, 2)
    publish([message() for _ in range(5)], topic=name, key=b"k")
    with stopping(mine, LogInconsistentError, "deleted and made again"):
        pass
    with stopping(mine, LogInconsistentError, "deleted and made again"):
        pass
    assert query(EVENTS) == [(10,)]
    read(running, accepting(mine), 5)
    gaps = query(GAPS)
    assert {row[0] for row in gaps} == {"topic_made_again"}
    assert sorted((row[2], row[3], row[5]) for row in gaps) == [(0, None, 0), (10, None, 0)]
    publish([message()], topic=name)
    read(running, mine, 1)


def _make_again(admin: KafkaAdminClient, name: str, partitions: int) -> None:
    admin.delete_topics([name])
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            admin.create_topics(
                {name: {"num_partitions": partitions, "replication_factor": 1}}, wait_for_metadata=True
            )
        except Exception:  # noqa: BLE001 - the deletion takes its time
            time.sleep(0.2)
        else:
            return


def test_a_topic_whose_start_is_gone_when_it_is_first_read_stops_ingest(
    settings: IngestSettings,
    make_topic: Call,
    running: Call,
    stopping: Call,
    publish: Call,
    admin: KafkaAdminClient,
    query: Query,
    message: Call,
) -> None:
    name = make_topic(1)
    publish([message() for _ in range(4)], topic=name)
    admin.delete_records({TopicPartition(name, 0): 3})
    mine = reading(settings, name)
    with stopping(
        mine, LogInconsistentError, "offsets 0 to 2 were deleted before the partition was first read"
    ):
        pass
    assert query("SELECT count(*) FROM audit_trail.kafka_stream") == [(0,)]
    read(running, accepting(mine), 1)
    assert query(GAPS) == [("partition_started_late", 0, 0, 2, 3, 3)]


def test_a_partition_that_was_added_and_lost_its_first_records_while_ingest_was_away_stops_it(
    settings: IngestSettings,
    make_topic: Call,
    running: Call,
    stopping: Call,
    publish: Call,
    admin: KafkaAdminClient,
    query: Query,
    message: Call,
) -> None:
    name = make_topic(1)
    mine = reading(settings, name)
    publish([message() for _ in range(3)], topic=name)
    read(running, mine, 3)
    admin.create_partitions({name: 3})
    with closing(KafkaProducer(bootstrap_servers=list(settings.bootstrap_servers))) as producer:
        for partition in (1, 2):
            for _ in range(20):
                producer.send(name, message(), partition=partition)
        producer.flush()
    admin.delete_records({TopicPartition(name, 1): 15, TopicPartition(name, 2): 7})
    with stopping(mine, LogInconsistentError, "partition 1: offsets 0 to 14 .*partition 2: offsets 0 to 6"):
        pass
    read(running, accepting(mine), 18)
    assert query(GAPS) == [
        ("partition_started_late", 1, 0, 14, 15, 15),
        ("partition_started_late", 2, 0, 6, 7, 7),
    ]


def test_all_partitions_that_lost_records_are_named_at_once_and_counted(
    settings: IngestSettings,
    make_topic: Call,
    running: Call,
    stopping: Call,
    publish: Call,
    admin: KafkaAdminClient,
    message: Call,
    capsys: Any,
) -> None:
    first, second = make_topic(1), make_topic(1)
    mine = msgspec.structs.replace(settings, topics=(first, second))
    for name in (first, second):
        publish([message() for _ in range(3)], topic=name)
    read(running, mine, 6)
    for name in (first, second):
        publish([message() for _ in range(4)], topic=name)
    admin.delete_records({TopicPartition(first, 0): 5, TopicPartition(second, 0): 6})
    with stopping(mine, LogInconsistentError, f"(?s)(?=.*{first}.*3 to 4)(?=.*{second}.*3 to 5)") as run:
        pass
    lost = {
        name: run.registry.get_sample_value(
            "audit_trail_ingest_offsets_lost", {"topic": name, "partition": "0"}
        )
        for name in (first, second)
    }
    assert lost == {first: 2, second: 3}
    assert capsys.readouterr().out.count("offsets_lost") == 2
    with running(accepting(mine)) as run:
        run.until(lambda: run.ingest.counters.accepted == 3)
    assert run.registry.get_sample_value("audit_trail_ingest_gaps_total") == 2


def test_readiness_names_the_loss_that_has_stopped_ingest(
    settings: IngestSettings,
    make_topic: Call,
    stopping: Call,
    publish: Call,
    admin: KafkaAdminClient,
    message: Call,
) -> None:
    name = make_topic(1)
    publish([message() for _ in range(4)], topic=name)
    admin.delete_records({TopicPartition(name, 0): 3})
    with stopping(reading(settings, name), LogInconsistentError, "offsets 0 to 2") as run:
        pass
    [problem] = run.ingest.problems()
    assert f"topic {name}, partition 0: offsets 0 to 2 were deleted" in problem
    assert "`audit-trail offsets accept`" in problem


def test_going_on_after_a_loss_needs_a_name_and_a_reason(settings: IngestSettings, running: Call) -> None:
    half = msgspec.structs.replace(settings, on_offset_loss="continue", offset_loss_accepted_by="n.operator")
    with pytest.raises(ConfigurationError, match="AUDIT_TRAIL_KAFKA_OFFSET_LOSS_REASON"), running(half):
        pass


def test_who_accepted_a_gap_and_why_is_an_event_of_the_log(
    settings: IngestSettings,
    make_topic: Call,
    running: Call,
    publish: Call,
    admin: KafkaAdminClient,
    query: Query,
    message: Call,
) -> None:
    name = make_topic(1)
    publish([message() for _ in range(4)], topic=name)
    admin.delete_records({TopicPartition(name, 0): 3})
    read(running, accepting(reading(settings, name)), 1)
    [(body,)] = query("SELECT body FROM audit_trail.event WHERE type = 'recording.gap'")
    event = msgspec.json.decode(bytes(body))
    assert (event["actor"]["id"], event["reason"]) == ("n.operator", "the records are gone")
    assert event["attributes"]["topic"] == name
    assert event["attributes"]["stream"] == str(query("SELECT stream FROM audit_trail.kafka_stream")[0][0])


# All of the disk, with Kafka's metadata, so that leader epochs come again; and the log alone.
@pytest.mark.thorough
@pytest.mark.parametrize(("only", "grown"), [("t-0", 5), ("", 60), ("t-0", 60)])
def test_a_log_that_was_cut_while_ingest_was_away_stops_it_even_when_it_has_grown_again(
    only: str, grown: int, own: OwnBroker, running: Call, stopping: Call, query: Query
) -> None:
    own.publish(20)
    own.keep()
    own.publish(30)
    read(running, own.settings, 50)
    own.restore(only)
    own.publish(grown)
    with stopping(own.settings, LogInconsistentError, "was read up to offset 50"):
        pass
    assert query(EVENTS) == [(50,)]
    with running(accepting(own.settings)) as run:
        run.until(lambda: run.ingest.counters.accepted == grown)
    assert query(EVENTS) == [(50 + grown,)]
    assert query(GAPS) == [("truncated", 0, 50, None, None, 0)]
    own.publish(1)
    read(running, own.settings, 1)


@pytest.mark.thorough
def test_a_broker_that_lost_its_disk_and_was_filled_again_stops_ingest(
    own: OwnBroker, running: Call, stopping: Call, query: Query
) -> None:
    own.publish(10)
    read(running, own.settings, 10)
    own.broker.stop()
    shutil.rmtree(own.broker.data_dir / "data" / "t-0")
    own.broker.start()
    own.publish(20)
    with stopping(own.settings, LogInconsistentError, "was read up to offset 10"):
        pass
    assert query(EVENTS) == [(10,)]
