"""What is kept of a record or a batch that was not taken whole."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from kafka.record.util import encode_varint

from domain.errors import Reason
from event_store.dead_letters import Cut, SealedBatch
from interop.decoding import MAX_HEADERS

KEY_AND_HEADERS_BYTES = 64 << 10
"""What a message may have beside its value: its key, and the names and values of its headers."""
VALUE_KEPT = 64 << 10
"""Bytes of a value, or of a compressed batch, that a cut dead letter keeps: enough to see whose it is."""
KEY_KEPT = 4 << 10
HEADERS_KEPT = 64 << 10

Headers = list[tuple[str, bytes | None]]


class Limits(NamedTuple):
    """In bytes. `batch`: what one batch may expand to. `record`: a larger record is cut. `poll`: one poll's records."""

    batch: int
    record: int
    poll: int


class Account(NamedTuple):
    """Why a record or batch was not taken, and the full sizes of what was cut. `offset` is the first one covered."""

    offset: int
    reason: Reason
    message: str
    value: Cut | None = None
    key: Cut | None = None
    headers: Cut | None = None
    batch: SealedBatch | None = None
    null: bool = False
    """The value was null, which is not the same as empty."""
    field: str = ""
    """`key` or `headers` when that part alone is too large."""


class Unread(bytes):
    """The value of such a record: its first bytes. It travels through the Kafka client like any other value."""

    account: Account

    @classmethod
    def of(cls, kept: bytes, account: Account) -> Unread:
        """The value `kept` with its account."""
        value = cls(kept)
        value.account = account
        return value


def cut(data: memoryview, most: int) -> tuple[bytes, Cut | None]:
    """At most `most` bytes of `data`, with its full size and SHA-256 when that is not all of it."""
    if len(data) <= most:
        return data.tobytes(), None
    return data[:most].tobytes(), Cut(len(data), sha256(data).digest())


def cut_headers(headers: Headers, raw: memoryview, complete: bool) -> tuple[Headers, Cut | None]:
    """The first of `headers`, with the size and SHA-256 of `raw`, Kafka's encoding of all, when they are not all."""
    kept: Headers = []
    size = 0
    for name, value in headers[:MAX_HEADERS]:
        size += len(name) + len(value or b"")
        if size > HEADERS_KEPT:
            break
        kept.append((name, value))
    if complete and len(kept) == len(headers):
        return kept, None
    return kept, Cut(len(raw), sha256(raw).digest())


def headers_size(headers: Sequence[tuple[str, bytes | None]]) -> int:
    """Bytes of the names and values, or a little less: a name counts by its characters."""
    return sum(len(name) + len(value or b"") for name, value in headers)


def larger_part(key: int, headers: int) -> str:
    """`key` or `headers`, the one with more bytes, when they are too large together; else empty."""
    if key + headers <= KEY_AND_HEADERS_BYTES:
        return ""
    return "key" if key > headers else "headers"


def encode_headers(headers: Sequence[tuple[str, bytes | None]]) -> bytes:
    """`headers` in the encoding of a Kafka record, from their count on."""
    encoded = bytearray()
    encode_varint(len(headers), encoded.append)
    for name, value in headers:
        for part in (name.encode("utf-8", "replace"), value):
            encode_varint(-1 if part is None else len(part), encoded.append)
            encoded += part or b""
    return bytes(encoded)
