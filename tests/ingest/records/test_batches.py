"""Whatever a sender puts into a batch: it is read within bounds, and what can't be read is one record that says so."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
import zstandard
from kafka.errors import CorruptRecordError

from domain.errors import Reason
from event_store.dead_letters import SealedBatch
from ingest.records.fetcher import Batches
from ingest.records.unread import VALUE_KEPT, Limits, Unread
from tests.ingest.records.crafted_batches import CODECS, batch, built, built_messages, message, record, varint

MIB = 1 << 20
LIMITS = Limits(batch=4 * MIB, record=MIB, poll=MIB)
VALUES = [b"first", b"", b"third" * 100]


def read(data: bytes, limits: Limits = LIMITS) -> list[Any]:
    """All records of `data`, in the way of the consumer; each batch has a valid CRC."""
    batches = Batches(data, limits)
    records = []
    while (found := batches.next_batch()) is not None:
        assert found.validate_crc()
        for each in found:
            assert each.validate_crc()
            records.append(each)
    return records


def only_unread(records: list[Any]) -> tuple[Any, Unread]:
    [found] = records
    assert isinstance(found.value, Unread)
    return found, found.value


def peak_mib(data: bytes) -> float:
    """What reading `data` takes at most, in the objects that Python and its extensions report."""
    tracemalloc.start()
    try:
        read(data)
        return tracemalloc.get_traced_memory()[1] / MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("codec", CODECS)
def test_a_good_batch_of_each_codec_is_read(codec: str) -> None:
    number, compress = CODECS[codec]
    packed = compress(b"".join(record(at, value) for at, value in enumerate(VALUES)))
    found = read(batch(packed, count=3, base=10, codec=number))
    assert [(each.offset, each.value) for each in found] == list(zip((10, 11, 12), VALUES, strict=True))
    assert [each.timestamp for each in found] == [1000] * 3


@pytest.mark.parametrize("number", range(5))
def test_what_the_client_itself_writes_is_read(number: int) -> None:
    values = [b"%d" % n * 50 for n in range(500)]
    found = read(built(values, base=7, codec=number) + built([b"next"], base=507))
    assert [each.value for each in found] == [*values, b"next"]
    assert [each.offset for each in found] == list(range(7, 508))


@pytest.mark.parametrize("codec", CODECS)
def test_a_bomb_of_each_codec_is_one_record_and_the_next_batch_is_read(codec: str) -> None:
    number, compress = CODECS[codec]
    packed = compress(record(0, bytes(100 * MIB)))
    bomb = batch(packed, count=1, base=5, last=3, codec=number)
    data = bomb + built([b"next"], base=9)
    found = read(data)
    assert [each.offset for each in found] == [8, 9]
    value = found[0].value
    assert isinstance(value, Unread)
    assert value.account.reason is Reason.OVERSIZED
    assert value.account.offset == 5
    assert value.account.batch == SealedBatch(8, codec.rsplit(maxsplit=1)[-1], 1)
    assert bytes(value) == bomb[:VALUE_KEPT]
    assert sha256(bomb).hexdigest() in value.account.message
    assert (value.account.value is None) == (len(bomb) <= VALUE_KEPT)
    assert found[1].value == b"next"
    assert peak_mib(data) < 30 + 2 * len(data) / MIB


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("left", [0.0, 0.5, 0.9])
def test_compressed_data_that_is_cut_short_is_one_record(codec: str, left: float) -> None:
    number, compress = CODECS[codec]
    packed = compress(b"".join(record(at, b"%d" % at * 100) for at in range(2000)))
    cut = packed[: int(len(packed) * left)]
    found, value = only_unread(read(batch(cut, count=2000, codec=number)))
    assert (found.offset, value.account.offset) == (1999, 0)
    assert value.account.reason is Reason.BROKEN_BATCH


@pytest.mark.parametrize("codec", CODECS)
def test_other_data_than_the_codec_says_is_one_record(codec: str) -> None:
    _, value = only_unread(read(batch(b"\x05not compressed at all", count=1, codec=CODECS[codec][0])))
    assert value.account.reason is Reason.BROKEN_BATCH


@pytest.mark.parametrize("codec", ["gzip", "lz4", "zstd"])
def test_several_frames_are_one_batch_and_count_together(codec: str) -> None:
    number, compress = CODECS[codec]
    packed = compress(record(0, b"one")) + compress(b"") + compress(record(1, b"two"))
    assert [each.value for each in read(batch(packed, count=2, codec=number))] == [b"one", b"two"]
    many = compress(bytes(MIB)) * 20
    assert only_unread(read(batch(many, count=1, codec=number)))[1].account.reason is Reason.OVERSIZED


def test_frames_without_content_take_no_time_that_grows_with_their_square() -> None:
    for codec in ("gzip", "lz4", "zstd"):
        number, compress = CODECS[codec]
        _, value = only_unread(read(batch(compress(b"") * 20_000, count=1, codec=number)))
        assert value.account.reason is Reason.BROKEN_BATCH


def test_a_batch_of_more_records_than_could_be_events_is_one_record() -> None:
    flood = batch(CODECS["zstd"][1](bytes(7 * 200_000)), count=200_000, codec=4)
    _, value = only_unread(read(flood))
    assert value.account.reason is Reason.OVERSIZED
    assert value.account.batch == SealedBatch(199_999, "zstd", 200_000)


def test_a_window_of_zstd_larger_than_the_limit_is_not_allocated() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=30, enable_ldm=True)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    packed = compressor.compress(record(0, b"small")) + compressor.flush()
    _, value = only_unread(read(batch(packed, count=1, codec=4)))
    assert value.account.reason is Reason.OVERSIZED


@pytest.mark.parametrize("claimed", [b"\xff\xff\xff\xff\x0f", b"\xff\xff\xff\xff\xff\x0f", b"\x80\x80\x80"])
def test_a_snappy_block_that_claims_gigabytes_is_not_allocated(claimed: bytes) -> None:
    xerial = b"\x82SNAPPY\x00\0\0\0\1\0\0\0\1" + struct.pack(">i", len(claimed)) + claimed
    for packed in (claimed, xerial):
        only_unread(read(batch(packed, count=1, codec=2)))
        assert peak_mib(batch(packed, count=1, codec=2)) < 4


@pytest.mark.parametrize("size", [-4, -1, 0, 1 << 30])
def test_a_block_of_xerial_with_an_impossible_length_ends(size: int) -> None:
    packed = b"\x82SNAPPY\x00\0\0\0\1\0\0\0\1" + struct.pack(">i", size) + b"x"
    only_unread(read(batch(packed, count=1, codec=2)))


GOOD = record(0, b"good")
MALFORMED = {
    "a batch that claims more records than fit": (GOOD, {"count": 20, "last": 3}, []),
    "a batch that claims a negative number of records": (GOOD, {"count": -1, "last": 3}, []),
    "a batch with fewer records than it claims": (GOOD + bytes(7), {"count": 2, "last": 3}, [b"good"]),
    "a batch far too small for its records": (GOOD, {"count": 2, "last": 3}, []),
    "a batch with more records than it claims": (GOOD + record(1, b"more"), {"count": 1, "last": 3}, []),
    "a batch without records that is not empty": (GOOD, {"count": 0, "last": 3}, []),
    "a record longer than the batch": (
        GOOD + record(1, b"x", length=10**6),
        {"count": 2, "last": 3},
        [b"good"],
    ),
    "a record of negative length": (GOOD + record(1, b"x", length=-5), {"count": 2, "last": 3}, [b"good"]),
    "a record shorter than its fields": (
        GOOD + record(1, b"xyz", length=7),
        {"count": 2, "last": 3},
        [b"good"],
    ),
    "a varint without an end": (GOOD + b"\xff" * 20, {"count": 2, "last": 3}, [b"good"]),
    "an offset that leaves the batch": (GOOD + record(9, b"x"), {"count": 2, "last": 3}, [b"good"]),
    "an offset that comes again": (GOOD + record(0, b"x"), {"count": 2, "last": 3}, [b"good"]),
    "the last offset before the last record": (record(3, b"x") + GOOD, {"count": 2, "last": 3}, []),
    "a header count of 2^31": (
        GOOD
        + varint(13)
        + b"\0"
        + varint(0)
        + varint(1)
        + varint(-1)
        + varint(1)
        + b"x"
        + varint(2**31)
        + b"\0\0",
        {"count": 2, "last": 3},
        [b"good"],
    ),
    "a value of 2^40 bytes": (
        GOOD + varint(12) + b"\0" + varint(0) + varint(1) + varint(-1) + varint(2**40) + b"xy",
        {"count": 2, "last": 3},
        [b"good"],
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
@pytest.mark.parametrize("codec", [None, "zstd"])
def test_a_malformed_batch_gives_what_can_be_read_and_one_record_for_the_rest(
    case: str, codec: str | None
) -> None:
    records, said, good = MALFORMED[case]
    number, compress = CODECS[codec] if codec else (0, bytes)
    data = batch(compress(records), base=20, codec=number, **said) + built([b"next"], base=24)
    *read_well, unread, following = read(data)
    assert [each.value for each in read_well] == good
    assert isinstance(unread.value, Unread)
    assert unread.value.account.reason is Reason.BROKEN_BATCH
    assert (unread.value.account.offset, unread.offset) == (20 + len(good), 23)
    assert (following.offset, following.value) == (24, b"next")


@pytest.mark.parametrize("number", [5, 6, 7])
def test_a_codec_that_kafka_does_not_know_is_one_record(number: int) -> None:
    _, value = only_unread(read(batch(GOOD, count=1, codec=number)))
    assert value.account.reason is Reason.BROKEN_BATCH
    _, value = only_unread(read(message(0, GOOD, codec=number)))
    assert value.account.reason is Reason.BROKEN_BATCH


def test_a_batch_that_claims_two_thousand_million_records_is_one_record() -> None:
    found, value = only_unread(read(batch(GOOD, count=2**31 - 1, last=3)))
    assert (found.offset, value.account.reason) == (3, Reason.OVERSIZED)


def test_a_batch_that_was_compacted_is_a_good_one() -> None:
    kept = record(2, b"third") + record(5, b"sixth")
    assert [each.offset for each in read(batch(kept, count=2, base=10, last=7))] == [12, 15]
    assert read(batch(b"", count=0, base=10, last=7)) == []


def test_a_batch_that_ends_before_it_begins_is_corrupt_since_nobody_knows_what_it_covers() -> None:
    with pytest.raises(CorruptRecordError):
        read(batch(GOOD, count=1, base=10, last=-2))


@pytest.mark.parametrize("length", [-12, -1, 0, 5, 30, -(2**31)])
def test_a_batch_without_a_whole_header_is_corrupt(length: int) -> None:
    with pytest.raises(CorruptRecordError):
        read(struct.pack(">qi", 0, length) + b"\0\0\0\0\2" + bytes(100))


def test_a_large_record_is_cut_and_its_neighbours_are_whole() -> None:
    value, key_of = bytes(range(256)) * 8192, b"n"
    headers = [(b"name-%d" % n, b"h" * 30_000) for n in range(5)]
    large = record(1, value, headers=headers)
    before, found, after = read(batch(record(0, b"a") + large + record(2, key_of), count=3))
    assert (before.value, after.value) == (b"a", key_of)
    account = found.value.account
    assert account.reason is Reason.OVERSIZED
    assert (account.value.size, account.value.sha256) == (len(value), sha256(value).digest())
    assert bytes(found.value) == value[:VALUE_KEPT]
    assert [name for name, _ in found.headers] == ["name-0", "name-1"]
    assert account.headers.size > 150_000
    assert account.batch is None


def test_a_record_with_more_headers_than_are_allowed_is_cut_without_making_them() -> None:
    data = batch(record(0, b"value", headers=[(b"", b"")] * 500_000), count=1)
    [found] = read(data)
    assert found.value == b"value"
    assert "500000 headers" in found.value.account.message
    assert len(found.headers) == 1000
    assert found.value.account.value is None
    assert peak_mib(data) < 10


def test_headers_beyond_those_that_are_allowed_are_not_walked_through() -> None:
    valid = record(0, b"value", headers=[(b"name", b"h")] * 1001)
    encoded = valid[2:]  # behind the length of the record
    garbage = encoded + b"\xff" * 100_000
    large = varint(len(garbage)) + garbage
    found, following = read(batch(large + record(1, b"next"), count=2))
    assert len(found.headers) == 1000
    assert "1001 headers" in found.value.account.message
    assert following.value == b"next"


def test_a_header_name_that_is_no_utf8_is_shown_escaped() -> None:
    [found] = read(batch(record(0, b"v", headers=[(b"\xff", b"1")]), count=1))
    assert found.headers == [("\\xff", b"1")]


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("codec", [0, 1, 2])
def test_messages_of_the_old_formats_are_read(magic: int, codec: int) -> None:
    values = [b"%d" % n * 50 for n in range(100)]
    found = read(built_messages(values, magic=magic, codec=codec))
    assert [each.value for each in found] == values
    assert [each.offset for each in found] == list(range(100))
    assert {each.timestamp for each in found} == ({1000} if magic else {-1})


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("codec", ["gzip", "xerial snappy", "raw snappy", "lz4"])
def test_a_wrapper_that_is_a_bomb_is_one_record(magic: int, codec: str) -> None:
    number, compress = CODECS[codec]
    packed = compress(message(0, bytes(100 * MIB), magic=magic))
    data = message(6, packed, magic=magic, codec=number) + message(7, b"next", magic=magic)
    found, following = read(data)
    assert (found.offset, following.offset, following.value) == (6, 7, b"next")
    assert found.value.account.reason is Reason.OVERSIZED
    assert found.value.account.batch == SealedBatch(6, codec.rsplit(maxsplit=1)[-1], None)
    assert peak_mib(data) < 30 + 2 * len(data) / MIB


INNER: dict[str, Callable[..., bytes]] = {
    "a message compressed again": lambda magic, pack: message(
        0, pack(message(0, b"x")), magic=magic, codec=1
    ),
    "a message longer than the whole": lambda magic, _: message(0, b"x" * 50, magic=magic)[:-3],
    "a message of another format": lambda magic, _: message(0, b"x", magic=1 - magic),
    "a wrong CRC": lambda magic, _: message(0, b"x", magic=magic)[:-1] + b"y",
    "offsets that come again": lambda magic, _: message(0, b"x", magic=magic) * 2,
    "nothing": lambda *_: b"",
    "a few bytes": lambda *_: b"\0" * 5,
}


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("case", INNER)
def test_a_malformed_wrapper_is_one_record(magic: int, case: str) -> None:
    number, compress = CODECS["gzip"]
    wrapper = message(0, compress(INNER[case](magic, compress)), magic=magic, codec=number)
    found, following = read(wrapper + message(1, b"next", magic=magic))
    assert found.value.account.reason is Reason.BROKEN_BATCH
    assert (found.offset, following.value) == (0, b"next")


def test_a_wrapper_whose_messages_end_elsewhere_is_one_record_and_is_not_read_for_ever() -> None:
    packed = CODECS["gzip"][1](message(3, b"x", magic=0))
    found, _ = only_unread(read(message(9, packed, magic=0, codec=1)))
    assert found.offset == 9


@pytest.mark.parametrize("size", [-2, 1 << 30])
def test_a_message_with_an_impossible_length_is_one_record(size: int) -> None:
    whole = bytearray(message(4, b"value"))
    struct.pack_into(">i", whole, 26, size)
    struct.pack_into(">I", whole, 12, zlib.crc32(bytes(whole[16:])))
    found, _ = only_unread(read(bytes(whole)))
    assert found.offset == 4
