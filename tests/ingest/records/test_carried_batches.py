"""Batches that the client carries give the records that it would make itself, and stop where it stops."""

from __future__ import annotations

import random
import struct
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.protocol.consumer import IsolationLevel
from kafka.record.default_records import DefaultRecordBase
from kafka.record.memory_records import MemoryRecords
from kafka.record.util import calc_crc32c
from structlog.testing import capture_logs

from ingest.records import batches as reading
from ingest.records.carried_batches import client_hands_on_values
from ingest.records.continuity import Continuity
from ingest.records.fetched_record import FetchedRecord
from ingest.records.fetcher import Batches, _BoundedRecords
from ingest.records.unread import Limits, Unread
from tests.ingest.records.crafted_batches import CODECS, batch, message, record, varint

AT = TopicPartition("t", 3)
LIMITS = Limits(batch=1 << 20, record=3000, poll=6000)
_TRANSACTIONAL, _CONTROL, _APPEND_TIME = 0x10, 0x20, 0x08


def random_record(chance: random.Random, delta: int) -> bytes:
    """A record with fields of any size, rarely with a fault in it."""
    key = chance.choice([None, b"", b"k", b"k" * 70, b"k" * 9000])
    value = chance.choice([None, b"", b"v" * 60, chance.randbytes(600), b"v" * 2900, b"v" * 20_000])
    count = 1001 if chance.random() < 0.003 else chance.choice([0, 0, 0, 0, 1, 3, 70])
    name, content = chance.choice([b"", b"n", b"\xff", b"n" * 70]), chance.choice([None, b"", b"h" * 80])
    headers = [(name, content)] * count
    body = b"\0" + varint(chance.choice([0, 1, -1, 70, 10_000, 3_000_000])) + varint(delta)
    for part in (key, value):
        body += varint(-1) if part is None else varint(len(part)) + part
    body += varint(len(headers))
    for name, content in headers:
        body += varint(len(name)) + name + (varint(-1) if content is None else varint(len(content)) + content)
    if chance.random() < 0.02:
        at = chance.randrange(len(body))
        body = body[:at] + chance.randbytes(chance.randrange(4)) + body[at + chance.randrange(3) :]
    return varint(len(body) + (chance.choice([-1, 1, -200, 1 << 20]) if chance.random() < 0.02 else 0)) + body


def random_batch(chance: random.Random, base: int) -> tuple[bytes, int, tuple[int, bool]]:
    """A batch, the offset after it, and its producer with whether it is a marker."""
    count = chance.randrange(1, 12)
    deltas = [at * chance.choice([1] * 9 + [2]) for at in range(count)]
    records = b"".join(random_record(chance, delta) for delta in deltas)
    codec = chance.choice(["", *CODECS]) if chance.random() < 0.5 else ""
    number, compress = CODECS[codec] if codec else (0, bytes)
    attributes = chance.choice([0, _APPEND_TIME])
    producer = chance.choice([-1, 7, 8])
    control = False
    if producer > 0 and chance.random() < 0.6:
        attributes |= _TRANSACTIONAL
        control = chance.random() < 0.3
    if control:
        attributes, number = attributes | _CONTROL, 0
        marker = b"\0" + varint(0) + varint(0) + varint(4) + struct.pack(">hh", 0, chance.randrange(2))
        marker += varint(6) + bytes(6) + varint(0)
        records, count, deltas = varint(len(marker)) + marker, 1, [0]
    elif number:
        records = compress(records)
    if chance.random() < 0.02:
        records = records[: chance.randrange(len(records) + 1)]
    claimed = count + (chance.choice([-1, 1, 100]) if chance.random() < 0.02 else 0)
    last = max(deltas) + chance.choice([0] * 9 + [2])
    data = bytearray(batch(records, count=claimed, base=base, last=last, codec=number, attributes=attributes))
    struct.pack_into(">q", data, 43, producer)
    struct.pack_into(">i", data, 12, 5)
    crc = calc_crc32c(memoryview(bytes(data))[DefaultRecordBase.ATTRIBUTES_OFFSET :])
    struct.pack_into(">I", data, DefaultRecordBase.CRC_OFFSET, crc ^ (chance.random() < 0.01))
    return bytes(data), base + last + 1, (producer, control)


def random_fetch(chance: random.Random) -> tuple[bytes, int, list[Any]]:
    """The bytes of an answer, the offset that was asked for, and its aborted transactions."""
    data, base, aborted = b"", chance.randrange(100), []
    asked = base + chance.choice([0, 0, 3])
    for _ in range(chance.randrange(1, 6)):
        if chance.random() < 0.1:
            data += message(base, b"old format", magic=chance.randrange(2))
            base += 1
            continue
        found, following, (producer, _) = random_batch(chance, base)
        if producer > 0 and chance.random() < 0.3:
            aborted.append(SimpleNamespace(producer_id=producer, first_offset=base))
        data, base = data + found, following
    if chance.random() < 0.05:
        data = data[: chance.randrange(1, len(data))]
    return data, asked, aborted


def taken(
    data: bytes, asked: int, aborted: list[Any], *, carried: bool, watched: bool, reported: bool
) -> list[Any]:
    """What each call of `take` gives, with the state that the client keeps: the same calls, whatever they give."""
    continuity = Continuity()
    reports: list[Any] = []
    fetcher: Any = SimpleNamespace(
        limits=LIMITS,
        watch=continuity.watched if watched else None,
        report=reports.append if reported else None,
        carried=carried,
        left=0,
    )
    try:
        part: Any = _BoundedRecords(
            fetcher,
            asked,
            AT,
            MemoryRecords(data),
            isolation_level=IsolationLevel.READ_COMMITTED,
            aborted_transactions=aborted,
        )
    except Exception as exc:  # noqa: BLE001 - to be compared
        return [repr(exc)]
    given: list[Any] = []
    for most in (1, 3, 2, 50, 50, 50, 50):
        if not part:
            break
        fetcher.left = LIMITS.poll
        try:
            records = part.take(most)
        except Exception as exc:  # noqa: BLE001 - to be compared
            given.append(repr(exc))
            break
        given += [shown(each) for each in records]
        given.append(
            (part.next_fetch_offset, part.leader_epoch, bool(part), fetcher.left, part.bytes_read > 0)
        )
    return [*given, [(each.partition, each.offset, repr(each.error)) for each in reports], continuity.holes()]


def shown(each: Any) -> Any:
    account = each.value.account if isinstance(each.value, Unread) else None
    return (
        each.topic,
        each.partition,
        each.offset,
        each.timestamp,
        each.key,
        each.value,
        list(each.headers),
        account,
    )


@pytest.mark.parametrize("part", range(2))
def test_random_fetches_give_the_same_records_and_leave_the_same_state(
    part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(part)
    fetches = [random_fetch(chance) for _ in range(60)]
    watched = reported = part == 0
    carried = [taken(*each, carried=True, watched=watched, reported=reported) for each in fetches]
    monkeypatch.setattr(reading, "read_usual", lambda *_: None)
    for fetch, found in zip(fetches, carried, strict=True):
        assert found == taken(*fetch, carried=False, watched=watched, reported=reported), fetch
    assert sum(len(each) for each in carried) > 250


def test_a_usual_record_is_read_quickly() -> None:
    [found] = reading.ReadableBatch.records(_whole(record(0, b"v" * 600, headers=[(b"n", b"h")])), "t", 3)
    assert found == FetchedRecord("t", 3, 0, 1000, None, b"v" * 600, [("n", b"h")])


def _whole(records: bytes) -> Any:
    return Batches(batch(records, count=1), LIMITS).next_batch()


def test_a_client_that_hands_on_other_values_is_used_in_its_own_way() -> None:
    assert client_hands_on_values(_BoundedRecords)

    class Changed(_BoundedRecords):
        def _deserialize(self, *given: Any) -> Any:
            return str(given[-1]).encode()

    with capture_logs() as lines:
        assert not client_hands_on_values(Changed)
        assert not client_hands_on_values(lambda *_: None)
    assert [line["event"] for line in lines] == ["kafka_records_read_singly"] * 2
