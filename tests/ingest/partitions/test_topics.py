"""Topics that are missing, grow, lose records, hold transactions, or are deleted and made again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from audit_trail.embedded.tansu import TansuBroker
from domain.errors import LogInconsistentError
from ingest.publisher import Message, Publisher
from ingest.settings import IngestSettings
from tests.ingest.conftest import accepting

Query = Callable[..., list[tuple[Any, ...]]]
Call = Callable[..., Any]

COUNTS = "SELECT count(*), count(DISTINCT event_id) FROM audit_trail.event"
GAPS = (
    "SELECT (convert_from(body, 'utf8')::jsonb -> 'attributes' ->> 'partition')::int"
    " FROM audit_trail.event WHERE type = 'recording.gap' ORDER BY position"
)
STREAMS = "SELECT count(DISTINCT topic_id) FROM audit_trail.kafka_stream WHERE next_offset > 0"


def test_a_missing_topic_is_waited_for(
    settings: IngestSettings, publish: Call, running: Call, message: Call, capsys: Any
) -> None:
    name = f"late-{uuid4().hex}"
    with running(msgspec.structs.replace(settings, topics=(name,))) as run:
        run.until(lambda: "topics_missing" in capsys.readouterr().out)
        with closing(KafkaAdminClient(bootstrap_servers=list(settings.bootstrap_servers))) as admin:
            admin.create_topics(
                {name: {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True
            )
        publish([message()], topic=name)
        run.until(lambda: run.ingest.counters.accepted == 1)


def test_a_missing_topic_is_made_when_the_setting_says_so(
    settings: IngestSettings, running: Call, publish: Call, query: Query, message: Call
) -> None:
    name = f"made-{uuid4().hex}"
    with running(msgspec.structs.replace(settings, topics=(name,), create_topics=True, partitions=2)) as run:
        run.until(lambda: query("SELECT count(*) FROM audit_trail.kafka_stream") == [(2,)])
        publish([message()], topic=name)
        run.until(lambda: run.ingest.counters.accepted == 1)


def test_several_topics_are_read_by_one_ingest(
    settings: IngestSettings,
    topic: str,
    make_topic: Call,
    running: Call,
    publish: Call,
    query: Query,
    message: Call,
) -> None:
    other = make_topic(1)
    publish([message()])
    publish([message(), b"{"], topic=other)
    with running(msgspec.structs.replace(settings, topics=(topic, other))) as run:
        run.until(lambda: run.ingest.counters.received == 3)
    assert query("SELECT topic FROM audit_trail.dead_letter") == [(other,)]


def test_a_broker_that_forgot_its_topics_gives_new_streams_and_a_gap_on_record_while_ingest_runs(
    settings: IngestSettings, running: Call, query: Query, message: Call, tmp_path: Path
) -> None:
    with TansuBroker(log=tmp_path / "tansu.log") as broker:
        mine = msgspec.structs.replace(
            settings,
            bootstrap_servers=(broker.bootstrap_servers,),
            topics=("audit.events",),
            create_topics=True,
            partitions=1,
        )
        with running(accepting(mine)) as run:
            run.until(lambda: query("SELECT count(*) FROM audit_trail.kafka_stream") == [(1,)])
            with closing(Publisher(mine)) as publisher:
                publisher.publish([Message("audit.events", None, message()) for _ in range(3)])
            run.until(lambda: run.ingest.counters.accepted == 3)
            broker.stop()
            broker.start()
            run.until(
                lambda: query("SELECT count(DISTINCT topic_id) FROM audit_trail.kafka_stream") == [(2,)]
            )
            with closing(Publisher(mine)) as publisher:
                publisher.publish([Message("audit.events", None, message()) for _ in range(5)])
            run.until(lambda: run.ingest.counters.accepted == 8)
    assert query(COUNTS) == [(9, 9)]
    assert query(GAPS) == [(0,)]
    assert query(STREAMS) == [(2,)]


@pytest.mark.needs_kafka
@pytest.mark.parametrize("assignment", ["static", "group"])
@pytest.mark.parametrize("more", [1, 20])
def test_a_topic_that_was_made_again_stops_ingest_and_is_read_from_its_start_once_accepted(
    more: int,
    assignment: str,
    settings: IngestSettings,
    topic: str,
    running: Call,
    stopping: Call,
    publish: Call,
    query: Query,
    message: Call,
) -> None:
    # Without a look at the topics from time to time, each batch's own check has to find it.
    refresh = 600.0 if assignment == "static" else 1.0
    mine = msgspec.structs.replace(settings, assignment=assignment, refresh_seconds=refresh)
    publish([message() for _ in range(10)], key=b"k")
    with stopping(mine, LogInconsistentError, "deleted and made again") as run:
        run.until(lambda: run.ingest.counters.accepted == 10)
        with closing(KafkaAdminClient(bootstrap_servers=list(settings.bootstrap_servers))) as admin:
            admin.delete_topics([topic])
            _make(admin, topic, 4)
        with closing(Publisher(settings)) as publisher:
            publisher.publish([Message(topic, b"k", message()) for _ in range(more)])
    assert query(COUNTS) == [(10, 10)]
    with running(accepting(mine)) as run:
        run.until(lambda: run.ingest.counters.accepted == more, seconds=60)
    # A gap for each of the four partitions of the old topic.
    assert query(COUNTS) == [(14 + more, 14 + more)]
    assert query(STREAMS) == [(2,)]


def _make(admin: KafkaAdminClient, name: str, partitions: int) -> None:
    from kafka.errors import TopicAlreadyExistsError  # noqa: PLC0415

    for _ in range(100):
        try:
            admin.create_topics(
                {name: {"num_partitions": partitions, "replication_factor": 1}}, wait_for_metadata=True
            )
        except TopicAlreadyExistsError:
            continue
        return


@pytest.mark.needs_kafka
def test_new_partitions_are_found_while_ingest_runs(
    settings: IngestSettings, make_topic: Call, running: Call, publish: Call, query: Query, message: Call
) -> None:
    name = make_topic(1)
    with running(msgspec.structs.replace(settings, topics=(name,))) as run:
        run.until(lambda: query("SELECT count(*) FROM audit_trail.kafka_stream") == [(1,)])
        with closing(KafkaAdminClient(bootstrap_servers=list(settings.bootstrap_servers))) as admin:
            admin.create_partitions({name: 3})
        run.until(lambda: query("SELECT count(*) FROM audit_trail.kafka_stream") == [(3,)])
        publish([message() for _ in range(60)], topic=name)
        run.until(lambda: run.ingest.counters.accepted == 60)


@pytest.mark.needs_kafka
def test_records_of_an_aborted_transaction_are_never_seen(
    settings: IngestSettings, make_topic: Call, running: Call, query: Query, message: Call
) -> None:
    name = make_topic(1)
    options = {"bootstrap_servers": list(settings.bootstrap_servers), "transactional_id": uuid4().hex}
    with closing(KafkaProducer(**options)) as producer:
        producer.init_transactions()
        for keep in (True, False, True, False):
            producer.begin_transaction()
            producer.send(name, message())
            producer.flush()
            if keep:
                producer.commit_transaction()
            else:
                producer.abort_transaction()
    with running(msgspec.structs.replace(settings, topics=(name,))) as run:
        # 4 records and 4 marks: the offset moves past those at the end too, or their deletion would look like a loss.
        run.until(lambda: query("SELECT next_offset FROM audit_trail.kafka_stream") == [(8,)])
        assert run.ingest.counters.received == 2
    assert query(COUNTS) == [(2, 2)]


@pytest.mark.needs_kafka
def test_offsets_that_kafka_has_lost_stop_ingest_until_an_operator_decides(
    settings: IngestSettings, make_topic: Call, running: Call, publish: Call, query: Query, message: Call
) -> None:
    name = make_topic(1)
    mine = msgspec.structs.replace(settings, topics=(name,))
    publish([message() for _ in range(3)], topic=name)
    with running(mine) as run:
        run.until(lambda: run.ingest.counters.accepted == 3)
    publish([message() for _ in range(4)], topic=name)
    with closing(KafkaAdminClient(bootstrap_servers=list(settings.bootstrap_servers))) as admin:
        admin.delete_records({TopicPartition(name, 0): 5})
    with pytest.raises(LogInconsistentError, match="offsets 3 to 4 were deleted"), running(mine) as run:
        run.join()
    assert query(COUNTS) == [(3, 3)]
    with running(accepting(mine)) as run:
        run.until(lambda: run.ingest.counters.accepted == 2)
    assert query("SELECT next_offset FROM audit_trail.kafka_stream") == [(7,)]
