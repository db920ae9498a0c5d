"""Every record that Kafka has is in the store exactly once: as an event, or as a dead letter."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from kafka import KafkaProducer

from domain.errors import Reason
from ingest.settings import IngestSettings

Query = Callable[..., list[tuple[Any, ...]]]
Call = Callable[..., Any]

EVENTS = "SELECT count(*) FROM audit_trail.event"
LETTERS = "SELECT count(*) FROM audit_trail.dead_letter"


def test_events_are_appended_in_the_order_of_each_partition(
    settings: IngestSettings, publish: Call, running: Call, query: Query, message: Call
) -> None:
    ids = [uuid4() for _ in range(300)]
    publish([message(event_id) for event_id in ids], key=b"one partition")
    with running(settings) as run:
        run.until(lambda: run.ingest.counters.accepted == 300)
    rows = query("SELECT event_id, position, stream_position FROM audit_trail.event ORDER BY position")
    assert [row[0] for row in rows] == ids
    assert [row[1] for row in rows] == list(range(300))
    assert [row[2] for row in rows] == list(range(300))


def test_the_received_message_is_stored_byte_for_byte(
    settings: IngestSettings, publish: Call, running: Call, query: Query, message: Call
) -> None:
    value = message().replace(b",", b" ,\n ")
    publish([value])
    with running(settings) as run:
        run.until(lambda: run.ingest.counters.accepted == 1)
    assert [bytes(row[0]) for row in query("SELECT body FROM audit_trail.event")] == [value]


def test_a_second_run_goes_on_where_the_first_has_stopped(
    settings: IngestSettings, publish: Call, running: Call, query: Query, message: Call
) -> None:
    publish([message() for _ in range(50)])
    with running(settings) as run:
        run.until(lambda: run.ingest.counters.accepted == 50)
    publish([message() for _ in range(50)])
    with running(settings) as run:
        run.until(lambda: run.ingest.counters.accepted == 50)
    assert run.ingest.counters.received == 50
    assert query(EVENTS) == [(100,)]


def test_an_event_that_comes_again_is_dropped_and_counted(
    settings: IngestSettings, publish: Call, running: Call, query: Query, message: Call
) -> None:
    value = message()
    publish([value, value])
    publish([value])
    with running(settings) as run:
        run.until(lambda: run.ingest.counters.received == 3)
        assert (run.ingest.counters.accepted, run.ingest.counters.duplicates) == (1, 2)
    assert query(EVENTS) == [(1,)]
    assert query(LETTERS) == [(0,)]


def test_another_event_with_a_known_id_becomes_a_dead_letter(
    settings: IngestSettings, publish: Call, running: Call, query: Query, message: Call
) -> None:
    event_id = uuid4()
    other = message(event_id, session="other")
    publish([message(event_id, session="first")])
    with running(settings) as run:
        run.until(lambda: run.ingest.counters.accepted == 1)
        publish([other, message()], key=b"k", headers=[("trace", b"\x01")])
        run.until(lambda: run.ingest.counters.received == 3)
        assert run.ingest.counters.conflicts == 1
    assert query(EVENTS) == [(2,)]
    [(reason, field, key, value)] = query("SELECT reason, field, key, value FROM audit_trail.dead_letter")
    assert (reason, field, bytes(key), bytes(value)) == (Reason.CONFLICT, "event_id", b"k", other)


BROKEN: dict[str, tuple[Reason, bytes | None]] = {
    "invalid JSON": (Reason.INVALID_JSON, b"{"),
    "no JSON at all": (Reason.INVALID_JSON, b"hello"),
    "empty": (Reason.INVALID_JSON, b""),
    "no object": (Reason.INVALID_FIELD, b"[1]"),
    "bad UTF-8": (Reason.INVALID_ENCODING, b'{"event_id":"\xff"}'),
    "deep nesting": (Reason.TOO_DEEP, b"[" * 100_000),
    "tombstone": (Reason.TOMBSTONE, None),
    "oversized": (Reason.OVERSIZED, b'{"a":"' + b"x" * 70_000 + b'"}'),
    "wrong type of a field": (Reason.INVALID_FIELD, b'"session":17'),
    "missing field": (Reason.MISSING_FIELD, b""),
    "naive time": (Reason.INVALID_FIELD, b'"occurred_at":"2026-11-24T10:00:00"'),
    "NUL": (Reason.INVALID_FIELD, b'"session":"a\\u0000b"'),
    "unknown field": (Reason.UNKNOWN_FIELD, b'"\\ud83d\\ude00":1'),
    "unknown event type": (Reason.UNKNOWN_TYPE, b'"type":"user.logged"'),
    "unknown format": (Reason.UNKNOWN_FORMAT, b'{"resourceType":"Patient"}'),
    "newer schema": (Reason.UNSUPPORTED_VERSION, b'"schema_version":99'),
}


def _broken(kind: str, good: bytes) -> bytes | None:
    """A fragment of a message replaces the field of that name, or is added."""
    value = BROKEN[kind][1]
    if kind == "missing field":
        return good.replace(b'"actor":{"id":"u-1"},', b"")
    if value is None or not value.startswith(b'"'):
        return value
    name = value.split(b":")[0]
    fields = [part for part in good[1:-1].split(b",") if not part.startswith(name)]
    return b"{" + b",".join([*fields, value]) + b"}"


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_message_becomes_one_dead_letter_and_the_rest_goes_on(
    kind: str,
    settings: IngestSettings,
    topic: str,
    publish: Call,
    running: Call,
    query: Query,
    message: Call,
) -> None:
    value = _broken(kind, message())
    publish([message()], key=b"k")
    publish([value], key=b"k", headers=[("trace", b"\x00\xff"), ("trace", b"")])
    publish([message()], key=b"k")
    with running(
        msgspec.structs.replace(settings, max_message_bytes=65_536 * 2 if kind == "deep nesting" else 65_536)
    ) as run:
        run.until(lambda: run.ingest.counters.received == 3)
        assert run.ingest.counters.rejected == {BROKEN[kind][0]: 1}
    assert query(EVENTS) == [(2,)]
    [row] = query(
        'SELECT reason, topic, "offset", key, value, headers, message, timestamp IS NOT NULL'
        " FROM audit_trail.dead_letter"
    )
    reason, its_topic, offset, key, stored, headers, said, has_time = row
    assert (reason, its_topic, offset, bytes(key)) == (BROKEN[kind][0], topic, 1, b"k")
    assert (bytes(stored) if stored is not None else None) == value
    assert headers == [["trace", "AP8="], ["trace", ""]]
    assert said
    assert has_time


def test_the_log_and_its_tree_stay_whole_over_many_batches(
    settings: IngestSettings, publish: Call, running: Call, query: Query, message: Call
) -> None:
    publish([message() if number % 10 else b"{" for number in range(1000)])
    with running(msgspec.structs.replace(settings, max_poll_records=37)) as run:
        run.until(lambda: run.ingest.counters.received == 1000)
    assert query(f"{EVENTS} WHERE type = 'user.logged_in'") == [(900,)]
    # That a tenth was rejected is an event of its own; two, if an hour began meanwhile.
    [(size,)] = query("SELECT size FROM audit_trail.log_state")
    assert size in {901, 902}
    assert query("SELECT count(*), min(position), max(position) FROM audit_trail.event") == [
        (size, 0, size - 1)
    ]
    assert query(f"{EVENTS} WHERE type = 'dead_letters.risen'") == [(size - 900,)]
    assert query(LETTERS) == [(100,)]
    assert query("SELECT sum(next_offset)::int FROM audit_trail.kafka_stream") == [(1000,)]


class _NotUtf8(str):
    """A header name that a client in another language may send: the broker checks no names."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:  # noqa: ARG002
        return b"na\xffme"


def test_a_header_whose_name_is_no_utf8_stops_nothing(
    settings: IngestSettings, publish: Call, running: Call, query: Query, message: Call
) -> None:
    publish([message()], key=b"k", headers=[(_NotUtf8("name"), b"v"), ("trace", b"t")])
    publish([b"{"], key=b"k", headers=[(_NotUtf8("name"), b"v")])
    publish([message()], key=b"k")
    with running(settings) as run:
        run.until(lambda: run.ingest.counters.received == 3)
    assert query(EVENTS) == [(2,)]
    assert query("SELECT headers FROM audit_trail.dead_letter") == [([["na\\xffme", "dg=="]],)]


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_every_compression_that_kafka_knows_is_read(
    codec: str, settings: IngestSettings, topic: str, running: Call, query: Query, message: Call
) -> None:
    with closing(
        KafkaProducer(bootstrap_servers=list(settings.bootstrap_servers), compression_type=codec)
    ) as producer:
        for _ in range(20):
            producer.send(topic, message())
        producer.flush()
    with running(settings) as run:
        run.until(lambda: run.ingest.counters.accepted == 20)
    assert query(EVENTS) == [(20,)]
