"""The record that ingest works with, and the quick reader of records without anything unusual."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from kafka.record.util import decode_varint
from msgspec import Struct

from ingest.records.unread import Headers

FAULTS = (ValueError, IndexError, struct.error, TypeError)
"""The errors of a malformed record."""


class FetchedRecord(Struct, frozen=True, gc=False):
    """A record: the fields that ingest uses of the client's ConsumerRecord, which costs ten times as much to make."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


Fields = tuple[int, int, bytes | None, bytes | None, Sequence[tuple[str, bytes | None]], int]
"""The offset and the timestamp of a record, relative to its batch; key, value, headers; and where the record ends."""


def read_usual(data: bytes, at: int, limit: int) -> Fields | None:  # noqa: C901, PLR0911, PLR0912, PLR0915 - one pass
    """The fields of the record at `at`; None when anything about it is unusual.

    Unusual are a record of more than `limit` bytes, numbers of more bytes than a usual record has, many headers, and
    every contradiction. It decides nothing else: `ReadableBatch` reads those records with all checks, or finds the
    fault. The numbers are zigzag varints (protobuf encoding): 7 bits in each byte, the lowest ones first, with the sign
    in the last bit. They are decoded in place, because a call for each would take longer than all the rest.
    """
    try:
        length = data[at]
        at += 1
        if length > 127:
            length += (data[at] << 7) - 128
            at += 1
            if length > 16383:
                length += (data[at] << 14) - 16384
                at += 1
        end = at + (length >> 1)
        if length & 1 or length > 2097151 or length >> 1 > limit or end > len(data):
            return None
        at += 1  # the attributes of a record have no meaning
        timestamp = data[at]
        at += 1
        if timestamp > 127:
            timestamp += (data[at] << 7) - 128
            at += 1
            if timestamp > 16383:
                timestamp += (data[at] << 14) - 16384
                at += 1
        delta = data[at]
        at += 1
        if delta > 127:
            delta += (data[at] << 7) - 128
            at += 1
            if delta > 16383:
                delta += (data[at] << 14) - 16384
                at += 1
        key: bytes | None = None
        size = data[at]
        at += 1
        if size > 127:
            size += (data[at] << 7) - 128
            at += 1
        if size != _NULL:
            if size & 1 or size > 16383:
                return None
            start, at = at, at + (size >> 1)
            key = data[start:at]
        value: bytes | None = None
        size = data[at]
        at += 1
        if size > 127:
            size += (data[at] << 7) - 128
            at += 1
            if size > 16383:
                size += (data[at] << 14) - 16384
                at += 1
        if size != _NULL:
            if size & 1 or size > 2097151:
                return None
            start, at = at, at + (size >> 1)
            value = data[start:at]
        headers: Sequence[tuple[str, bytes | None]] = ()
        count = data[at]
        at += 1
        if count:
            if count & 1 or count > 127:
                return None
            headers, at = read_headers(data, at, end, count >> 1)
    except FAULTS:
        return None
    if at != end or (timestamp | delta) & 1 or timestamp > 2097151 or delta > 2097151:
        return None
    return delta >> 1, timestamp >> 1, key, value, headers, end


_NULL = 1
"""The varint of -1: the length of nothing."""


def read_bytes(data: bytes, at: int, end: int) -> tuple[slice | None, int]:
    """The slice of the nullable bytes at `at`, and where they end."""
    length, at = decode_varint(data, at)
    if length < 0:
        return None, at
    if length > end - at:
        raise ValueError("a field in it is longer than its record")
    return slice(at, at + length), at + length


def read_headers(data: bytes, at: int, end: int, count: int) -> tuple[Headers, int]:
    r"""The headers, and where they end.

    By the protocol a name is UTF-8, but no broker checks it: other bytes are shown as ``\xff``.
    """
    headers: Headers = []
    for _ in range(count):
        name, at = read_bytes(data, at, end)
        if name is None:
            raise ValueError("a header in it has no name")
        value, at = read_bytes(data, at, end)
        text = data[name].decode("utf-8", "backslashreplace")
        headers.append((text, None if value is None else data[value]))
    return headers, at
