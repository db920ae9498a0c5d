"""Record batches as a broken or hostile sender may make them: with a valid CRC."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable, Iterable

import lz4.frame
import snappy  # type: ignore[import-untyped]
import zstandard
from kafka.codec import snappy_encode
from kafka.record.default_records import DefaultRecordBase, DefaultRecordBatchBuilder
from kafka.record.legacy_records import LegacyRecordBatchBuilder
from kafka.record.util import calc_crc32, calc_crc32c, encode_varint

CODECS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "gzip": (1, gzip.compress),
    "xerial snappy": (2, snappy_encode),
    "raw snappy": (2, snappy.compress),
    "lz4": (3, lz4.frame.compress),
    "zstd": (4, zstandard.ZstdCompressor().compress),
}
"""By name: the codec's number, and a compressor."""

_HEADER = DefaultRecordBase.HEADER_STRUCT


def varint(value: int) -> bytes:
    """Zigzag, as in a record."""
    out = bytearray()
    encode_varint(value, out.append)
    return bytes(out)


def record(
    delta: int, value: bytes, *, headers: Iterable[tuple[bytes, bytes]] = (), length: int | None = None
) -> bytes:
    """A record of format 2 at its batch's offset + `delta`; `length` is what it says of itself."""
    headers = list(headers)
    body = b"".join(
        (
            b"\0",
            varint(0),
            varint(delta),
            varint(-1),
            varint(len(value)),
            value,
            varint(len(headers)),
            *(varint(len(part)) + part for pair in headers for part in pair),
        )
    )
    return varint(len(body) if length is None else length) + body


def batch(
    records: bytes, *, count: int, base: int = 0, last: int | None = None, codec: int = 0, attributes: int = 0
) -> bytes:
    """A batch of format 2 around `records`, which are compressed already if they are. Its last offset is a delta."""
    last = count - 1 if last is None else last
    head = _HEADER.pack(
        base, 49 + len(records), 0, 2, 0, codec | attributes, last, 1000, 2000, -1, -1, -1, count
    )
    whole = bytearray(head + records)
    crc = calc_crc32c(memoryview(whole)[DefaultRecordBase.ATTRIBUTES_OFFSET :])
    struct.pack_into(">I", whole, DefaultRecordBase.CRC_OFFSET, crc)
    return bytes(whole)


def built(values: Iterable[bytes], *, base: int = 0, codec: int = 0) -> bytes:
    """A good batch, as kafka-python makes it."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=codec,
        is_transactional=False,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 30,
    )
    for offset, value in enumerate(values):
        builder.append(offset, 1000, None, value, [])
    whole = builder.build()
    struct.pack_into(">q", whole, 0, base)
    return bytes(whole)


def message(
    offset: int, value: bytes | None, *, magic: int = 1, codec: int = 0, key: bytes | None = None
) -> bytes:
    """A message of format 0 or 1; compressed, it is a wrapper of messages."""
    fields = b"".join(
        struct.pack(">i", -1) if part is None else struct.pack(">i", len(part)) + part
        for part in (key, value)
    )
    body = struct.pack(">bb", magic, codec) + (struct.pack(">q", 1000) if magic else b"") + fields
    crc = calc_crc32(memoryview(body))
    return struct.pack(">qiI", offset, len(body) + 4, crc) + body


def built_messages(values: Iterable[bytes], *, magic: int, codec: int = 0) -> bytes:
    """Good messages in a wrapper, as kafka-python makes them."""
    builder = LegacyRecordBatchBuilder(magic=magic, compression_type=codec, batch_size=1 << 30)
    last = -1
    for last, value in enumerate(values):
        builder.append(last, 1000 if magic else None, None, value)
    whole = bytearray(builder.build())
    if codec:
        struct.pack_into(">q", whole, 0, last)
    return bytes(whole)
