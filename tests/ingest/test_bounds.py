"""Large messages and bombs through a real broker and into a real database: bounded, counted, and passed."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from hashlib import sha256
from typing import Any
from uuid import uuid4

import msgspec
import psycopg2
import pytest
from kafka import KafkaProducer

from audit_trail.embedded.broker import Broker
from domain.errors import ConfigurationError, Reason
from event_store.database import INGEST, Database
from event_store.dead_letters import DeadLetter
from ingest.dead_letters import DeadLetterDesk
from ingest.head_topic import HeadTopic
from ingest.partitions.offsets import OffsetDesk
from ingest.publisher import Publisher
from ingest.records.unread import KEY_KEPT, VALUE_KEPT
from ingest.settings import IngestSettings
from tests.audit_trail.programs import environment, eventually
from tests.signing import TEXT

Query = Callable[..., list[tuple[Any, ...]]]
Call = Callable[..., Any]

MIB = 1 << 20
CODECS = ("gzip", "snappy", "lz4", "zstd")
EVENTS = "SELECT count(*) FROM audit_trail.event"
LETTERS = "SELECT count(*) FROM audit_trail.dead_letter"
LARGE = {"max.message.bytes": str(64 * MIB)}


@pytest.fixture
def large_topic(make_topic: Call) -> str:
    """A topic of one partition that takes batches of 64 MiB."""
    name: str = make_topic(1, LARGE)
    return name


@pytest.fixture
def desk(migrated_url: str, database: Database) -> Iterator[DeadLetterDesk]:
    with closing(DeadLetterDesk(database, migrated_url, TEXT)) as desk:
        yield desk


def send(
    settings: IngestSettings, topic: str, values: Sequence[bytes], codec: str | None = None, **options: Any
) -> None:
    """Publish as a service does that knows no limits: each value in a batch of its own."""
    with closing(
        KafkaProducer(
            bootstrap_servers=list(settings.bootstrap_servers),
            compression_type=codec,
            max_request_size=1 << 30,
            batch_size=1,
            **options,
        )
    ) as producer:
        for value in values:
            producer.send(topic, value, partition=0).get(timeout=120)


def padded(message: Call, size: int) -> bytes:
    """A valid message of `size` bytes."""
    value: bytes = message()
    return value.replace(b",", b"," + b" " * (size - len(value)), 1)


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


def test_a_large_message_keeps_its_beginning_and_is_not_published_again(
    settings: IngestSettings,
    large_topic: str,
    running: Call,
    query: Query,
    message: Call,
    desk: DeadLetterDesk,
) -> None:
    value, key = os.urandom(20 * MIB), os.urandom(2 * MIB)
    with closing(
        KafkaProducer(
            bootstrap_servers=list(settings.bootstrap_servers),
            max_request_size=1 << 30,
        )
    ) as producer:
        headers = [("name", os.urandom(MIB)), ("other", b"x")]
        producer.send(large_topic, value, key, headers, partition=0).get(timeout=60)
        producer.send(large_topic, message(), partition=0).get(timeout=60)
    with running(msgspec.structs.replace(settings, topics=(large_topic,))) as run:
        run.until(lambda: run.ingest.counters.received == 2)
    [id] = query("SELECT id FROM audit_trail.dead_letter")[0]
    letter = desk.show(id).letter
    assert letter.reason is Reason.OVERSIZED
    assert letter.value_cut == (len(value), sha256(value).digest())
    assert letter.key_cut == (len(key), sha256(key).digest())
    assert letter.headers_cut is not None
    assert (letter.value, letter.key, letter.headers) == (value[:VALUE_KEPT], key[:KEY_KEPT], [])
    with pytest.raises(ConfigurationError, match=rf"topic {large_topic}, partition 0, offset 0,"):
        desk.requeue(id, lambda _: None, by="a", reason="b")
    assert query(EVENTS) == [(1,)]


@pytest.mark.parametrize(
    ("key", "headers", "field"),
    [
        (bytes(70_000), [], "key"),
        (None, [("note", bytes(70_000))], "headers"),
        (None, [("n" * 100, bytes(900))] * 70, "headers"),
        (bytes(40_000), [("note", bytes(30_000))], "key"),
        (bytes(3 * MIB), [], "key"),
        (None, [("note", bytes(3 * MIB))], "headers"),
    ],
    ids=["key", "header", "headers", "both", "very large key", "very large header"],
)
def test_key_and_headers_have_a_limit_of_their_own(
    key: bytes | None,
    headers: list[tuple[str, bytes]],
    field: str,
    settings: IngestSettings,
    large_topic: str,
    running: Call,
    query: Query,
    message: Call,
) -> None:
    with closing(
        KafkaProducer(bootstrap_servers=list(settings.bootstrap_servers), max_request_size=1 << 30)
    ) as producer:
        producer.send(large_topic, message(), key, headers, partition=0).get(timeout=60)
        producer.send(large_topic, message(), bytes(30_000), [("a", bytes(30_000))], partition=0).get(60)
    with running(msgspec.structs.replace(settings, topics=(large_topic,))) as run:
        run.until(lambda: run.ingest.counters.received == 2)
    assert query('SELECT "offset", reason, field FROM audit_trail.dead_letter') == [(0, "oversized", field)]
    assert query(EVENTS) == [(1,)]


def test_a_message_that_is_a_little_too_large_is_kept_whole_and_can_be_published_again(
    settings: IngestSettings,
    large_topic: str,
    running: Call,
    query: Query,
    message: Call,
    desk: DeadLetterDesk,
) -> None:
    value = padded(message, MIB + MIB // 2)
    send(settings, large_topic, [value])
    with running(msgspec.structs.replace(settings, topics=(large_topic,))) as run:
        run.until(lambda: run.ingest.counters.received == 1)
    [id] = query("SELECT id FROM audit_trail.dead_letter")[0]
    published: list[DeadLetter] = []
    desk.requeue(id, published.append, by="a", reason="the limit was raised")
    assert [letter.value for letter in published] == [value]


def test_a_flood_of_records_too_small_to_be_events_is_few_dead_letters(
    settings: IngestSettings,
    large_topic: str,
    running: Call,
    query: Query,
    message: Call,
    desk: DeadLetterDesk,
) -> None:
    flood = [b'{"bad":%d' % number for number in range(3000)]
    hopeful = message().replace(b"user.logged_in", b"of.a_later_version")
    with closing(
        KafkaProducer(
            bootstrap_servers=list(settings.bootstrap_servers),
            compression_type="zstd",
            batch_size=1 << 24,
            linger_ms=3000,
        )
    ) as producer:
        for value in (*flood[:1500], message(), *flood[1500:], *[hopeful] * 300, message()):
            producer.send(large_topic, value, b"key", [("h", b"v")], partition=0)
        producer.flush()
    with running(msgspec.structs.replace(settings, topics=(large_topic,))) as run:
        run.until(lambda: run.ingest.counters.received == 3302)
        rejected = {Reason.INVALID_JSON: 3000, Reason.UNKNOWN_TYPE: 300}
        assert (run.ingest.counters.accepted, run.ingest.counters.rejected) == (2, rejected)
    assert query("SELECT count(*) FROM audit_trail.dead_letter WHERE reason = 'unknown_type'") == [(300,)]
    found = query(
        'SELECT id, "offset", last_offset, record_count FROM audit_trail.dead_letter'
        " WHERE reason = 'invalid_json' ORDER BY id"
    )
    together = [row for row in found if row[2] is not None]
    assert len(found) < 1000
    covered = len(found) - len(together) + sum(count for *_, count in together)
    assert covered == 3000
    assert query("SELECT next_offset FROM audit_trail.kafka_stream") == [(3302,)]
    id, first, last, count = next(row for row in together if row[1] < 1500 < row[2])
    letter = desk.show(id).letter
    values = b"".join([*flood[first:1500], *flood[1500:last]])
    assert count == last - first
    assert (letter.value or b"") == values[:VALUE_KEPT]
    assert f"offsets {first}-1499, 1501-{last};" in letter.message
    assert sha256(values).hexdigest() in letter.message
    assert letter.key_cut == (3 * count, sha256(b"key" * count).digest())
    assert letter.headers_cut is not None
    with pytest.raises(ConfigurationError, match="can't be published again"):
        desk.requeue(id, lambda _: None, by="a", reason="b")
    desk.dismiss(id, by="a", reason="b")


def test_a_transaction_holds_no_more_bytes_than_one_poll_may_give(
    settings: IngestSettings, large_topic: str, running: Call, query: Query, message: Call
) -> None:
    small = msgspec.structs.replace(settings, topics=(large_topic,), max_poll_bytes=MIB)
    send(settings, large_topic, [padded(message, 400_000) for _ in range(20)], "lz4", linger_ms=0)
    with running(small) as run:
        run.until(lambda: run.ingest.counters.accepted == 20)
    batches = query("SELECT count(*), sum(length(body)) FROM audit_trail.event GROUP BY recorded_at")
    assert max(size for _, size in batches) < MIB + 400_000
    assert max(count for count, _ in batches) > 1


REFUSE = """
CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF position('unstorable' IN encode({bytes}, 'escape')) > 0 THEN
        RAISE 'too large' USING ERRCODE = '{code}';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON audit_trail.{table} FOR EACH ROW EXECUTE FUNCTION public.refuse()
"""


def refuse(url: str, table: str, bytes: str, code: str) -> None:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(REFUSE.format(table=table, bytes=bytes, code=code))


@pytest.mark.parametrize("code", ["54000", "22021"])
def test_a_message_that_the_database_refuses_is_a_dead_letter_and_its_neighbours_are_events(
    code: str,
    settings: IngestSettings,
    migrated_url: str,
    publish: Call,
    running: Call,
    query: Query,
    message: Call,
) -> None:
    refuse(migrated_url, "event_000000", "NEW.body", code)
    values = [message(session="unstorable" if n in {3, 30} else "s") for n in range(50)]
    publish(values, key=b"k")
    publish([message() for _ in range(50)])
    with running(settings) as run:
        run.until(lambda: run.ingest.counters.received == 100)
        assert run.ingest.counters.rejected == {Reason.UNSTORABLE: 2}
    assert query(EVENTS) == [(98,)]
    kept = query("SELECT value FROM audit_trail.dead_letter ORDER BY id")
    assert [bytes(value) for (value,) in kept] == [values[3], values[30]]


def test_a_dead_letter_that_the_database_refuses_is_kept_without_its_message(
    settings: IngestSettings, migrated_url: str, publish: Call, running: Call, query: Query, message: Call
) -> None:
    refuse(migrated_url, "dead_letter", "coalesce(NEW.value, '')", "54000")
    publish([b"{unstorable", message()], key=b"k")
    with running(settings) as run:
        run.until(lambda: run.ingest.counters.received == 2)
    assert query("SELECT reason, value, value_size FROM audit_trail.dead_letter") == [
        (Reason.INVALID_JSON, None, 11)
    ]
    assert query(EVENTS) == [(1,)]


def test_a_dead_letter_that_is_refused_in_any_form_stops_ingest(
    settings: IngestSettings, migrated_url: str, publish: Call, running: Call, query: Query
) -> None:
    refuse(migrated_url, "dead_letter", "'unstorable'", "54000")
    publish([b"{"], key=b"k")
    with (
        pytest.raises(ConfigurationError, match="not even the dead letter"),
        running(settings) as run,
    ):
        run.join()
    assert query(LETTERS) == [(0,)]


@pytest.mark.needs_kafka
def test_ingest_goes_on_after_a_stop_between_the_pieces_of_a_batch(
    settings: IngestSettings, migrated_url: str, large_topic: str, running: Call, query: Query, message: Call
) -> None:
    """The store remembers each piece by its own Kafka batch: another one would look like a log that was cut."""
    mine = msgspec.structs.replace(settings, topics=(large_topic,))
    refuse(migrated_url, "dead_letter", "'unstorable'", "54000")
    send(mine, large_topic, [message(), message(), message(), b"{", message()])
    with pytest.raises(ConfigurationError, match="offset 3 could be stored"), running(mine) as run:
        run.join()
    state = "SELECT next_offset, leader_epoch, batch_crc FROM audit_trail.kafka_stream"
    assert query(state) == [(3, -1, None)]
    with closing(psycopg2.connect(migrated_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER refuse ON audit_trail.dead_letter")
    with running(mine) as run:
        run.until(lambda: run.ingest.counters.received == 2)
    assert query(EVENTS) == [(4,)]
    [(offset, epoch, crc)] = query(state)
    assert (offset, epoch) == (5, 0)
    assert crc is not None


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


def test_what_is_no_head_in_the_topic_of_heads_is_passed_over(
    settings: IngestSettings, large_topic: str
) -> None:
    send(settings, large_topic, [b"a note"])
    send(settings, large_topic, [bytes(30 * MIB)], "gzip")
    send(settings, large_topic, [os.urandom(5 * MIB), b"another"])
    with closing(Publisher(settings)) as publisher:
        assert HeadTopic(settings, large_topic, publisher).published() == [b"a note", b"another"]


@pytest.mark.needs_kafka
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
