"""Batches of Kafka as they follow each other, and what is a hole between them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kafka import TopicPartition
from kafka.record import MemoryRecords
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.legacy_records import LegacyRecordBatchBuilder
from kafka.record.util import calc_crc32c

from event_store.streams import AcceptedHole
from ingest.records.continuity import UNKNOWN, Continuity, Watched

AT = TopicPartition("t", 0)


def batch(first: int, offsets: list[int], *, last: int | None = None, control: bool = False) -> bytes:
    """A batch of format 2 that begins at `first`, with records at `offsets`, as compaction may leave it."""
    builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 1 << 20)
    for offset in offsets or [0]:
        builder.append(offset - first, timestamp=1, key=None, value=b"%d" % offset, headers=[])
    header = DefaultRecordBatchBuilder.HEADER_STRUCT
    built = bytearray(builder.build())
    fields = list(header.unpack_from(built))
    if not offsets:
        del built[header.size :]
    fields[0], fields[1] = first, len(built) - 12
    fields[5] |= DefaultRecordBatchBuilder.CONTROL_MASK if control else 0
    fields[6] = (offsets[-1] if last is None else last) - first
    fields[12] = len(offsets)
    built[: header.size] = header.pack(*fields)
    fields[4] = calc_crc32c(memoryview(built)[DefaultRecordBatchBuilder.ATTRIBUTES_OFFSET :])
    built[: header.size] = header.pack(*fields)
    return bytes(built)


def given_out(continuity: Continuity, fetch_offset: int, *batches: bytes) -> list[int]:
    """The first offsets of the batches that the client gets."""

    def each() -> Iterator[int]:
        watched = Watched(continuity, AT, fetch_offset, MemoryRecords(b"".join(batches)))
        while (found := watched.next_batch()) is not None:
            yield found.base_offset

    return list(each())


@pytest.mark.parametrize(
    ("fetch_offset", "batches"),
    [
        (0, (batch(0, [0, 1, 2]), batch(3, [3]), batch(4, [4, 5]))),
        (2, (batch(0, [0, 1, 2]), batch(3, [3]))),
        (7, (batch(0, [0, 1, 2]), batch(3, [3, 4, 5, 6, 7]))),
        (0, (batch(0, [0]), batch(1, [1], control=True), batch(2, [2]))),
        (0, (batch(0, [0]), batch(1, [], last=1, control=True), batch(2, [2]))),
    ],
    ids=[
        "one after the other",
        "in the middle of a batch",
        "an earlier batch",
        "a marker",
        "a removed marker",
    ],
)
def test_whole_batches_are_no_loss(fetch_offset: int, batches: tuple[bytes, ...]) -> None:
    continuity = Continuity()
    assert len(given_out(continuity, fetch_offset, *batches)) == len(batches)
    assert continuity.holes() == set()


@pytest.mark.parametrize(
    ("fetch_offset", "batches", "passed"),
    [
        (0, (batch(1, [1]),), 0),
        (0, (batch(0, [0]), batch(2, [2])), 1),
        (0, (batch(0, [0]), batch(1, [1, 3])), 1),
        (0, (batch(0, [0]), batch(1, [], last=4)), 1),
        (0, (batch(0, [0]), batch(1, [2], last=2), batch(3, [3])), 1),
    ],
    ids=["before the first", "between two", "inside one", "all of one", "the first of one"],
)
def test_a_hole_is_met_before_what_follows_it_is_given_out(
    fetch_offset: int, batches: tuple[bytes, ...], passed: int
) -> None:
    continuity = Continuity()
    assert len(given_out(continuity, fetch_offset, *batches)) == passed
    assert continuity.holes() == {AT}
    assert continuity.holes() == set()


def test_an_accepted_hole_is_passed_over_and_a_larger_one_is_not() -> None:
    continuity = Continuity()
    continuity.accept({AT: [AcceptedHole(1, 3, 3), AcceptedHole(4, 9, 2)]})
    assert given_out(continuity, 0, batch(0, [0]), batch(4, [4, 5, 7, 9])) == [0, 4]
    assert given_out(continuity, 0, batch(0, [0]), batch(4, [4, 7, 9])) == [0]
    assert given_out(continuity, 0, batch(0, [0]), batch(5, [5])) == [0]


def test_older_formats_are_read_and_not_checked() -> None:
    old = LegacyRecordBatchBuilder(1, 0, 1 << 20)
    old.append(7, timestamp=1, key=None, value=b"x")
    continuity = Continuity()
    assert given_out(continuity, 0, bytes(old.build()), batch(20, [20])) == [7, 20]
    assert continuity.mark(AT, 7) == UNKNOWN


def test_the_mark_is_of_the_batch_that_holds_the_offset() -> None:
    continuity = Continuity()
    batches = [batch(0, [0, 1, 2]), batch(3, [3]), batch(4, [4])]
    given_out(continuity, 0, *batches)
    marks = [continuity.mark(AT, offset) for offset in (1, 2, 3, 4)]
    assert marks[0] == marks[1]
    assert len(set(marks)) == 3
    assert all(mark.crc is not None for mark in marks)
    assert continuity.mark(AT, 9) == UNKNOWN
