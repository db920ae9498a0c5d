"""Large messages and bombs through a real broker and into a real database: bounded, counted, and passed."""

from __future__ import annotations

import os
from contextlib import closing
from hashlib import sha256

import msgspec
import psycopg2
import pytest
from kafka import KafkaProducer

from domain.errors import ConfigurationError, Reason
from event_store.dead_letters import DeadLetter
from ingest.dead_letters import DeadLetterDesk
from ingest.head_topic import HeadTopic
from ingest.publisher import Publisher
from ingest.records.unread import KEY_KEPT, VALUE_KEPT
from ingest.settings import IngestSettings
from tests.ingest.large_messages import EVENTS, MIB, Call, Query, padded, send
from tests.ingest.refusing_trigger import refuse


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


def test_what_is_no_head_in_the_topic_of_heads_is_passed_over(
    settings: IngestSettings, large_topic: str
) -> None:
    send(settings, large_topic, [b"a note"])
    send(settings, large_topic, [bytes(30 * MIB)], "gzip")
    send(settings, large_topic, [os.urandom(5 * MIB), b"another"])
    with closing(Publisher(settings)) as publisher:
        assert HeadTopic(settings, large_topic, publisher).published() == [b"a note", b"another"]
