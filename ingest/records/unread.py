"""The stored part of a record or batch that was not read whole."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from kafka.record.util import encode_varint

from domain.errors import Reason
from event_store.dead_letters import Cut, SealedBatch
from interop.decoding import MAX_HEADERS

KEY_AND_HEADERS_BYTES = 64 << 10
"""The maximum size of key and headers together, names included."""
VALUE_KEPT = 64 << 10
"""Bytes of a value, or of a compressed batch, in a truncated dead letter: enough to identify the sender."""
KEY_KEPT = 4 << 10
HEADERS_KEPT = 64 << 10

Headers = list[tuple[str, bytes | None]]


class Limits(NamedTuple):
    """Limits in bytes.

    `batch`: one expanded batch. `record`: a larger record is truncated. `poll`: the records of one poll.
    """

    batch: int
    record: int
    poll: int


class Account(NamedTuple):
    """Why a record or batch was not read, and the full sizes of truncated parts. `offset` is the first one covered."""

    offset: int
    reason: Reason
    message: str
    value: Cut | None = None
    key: Cut | None = None
    headers: Cut | None = None
    batch: SealedBatch | None = None
    null: bool = False
    """Whether the value was null, as opposed to empty."""
    field: str = ""
    """`key` or `headers` when that part is too large."""


class Unread(bytes):
    """The value of such a record: its first bytes. The Kafka client handles it like any other value."""

    account: Account

    @classmethod
    def of(cls, kept: bytes, account: Account) -> Unread:
        """The value `kept` with its account."""
        value = cls(kept)
        value.account = account
        return value


def cut(data: memoryview, most: int) -> tuple[bytes, Cut | None]:
    """At most `most` bytes of `data`, with the full size and SHA-256 if it was truncated."""
    if len(data) <= most:
        return data.tobytes(), None
    return data[:most].tobytes(), Cut(len(data), sha256(data).digest())


def cut_headers(headers: Headers, raw: memoryview, complete: bool) -> tuple[Headers, Cut | None]:
    """The first of `headers`, with the size and SHA-256 of `raw` (Kafka's encoding of all) if some were dropped."""
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
    """The size of names and values, or slightly less: names count in characters."""
    return sum(len(name) + len(value or b"") for name, value in headers)


def larger_part(key: int, headers: int) -> str:
    """The larger of `key` and `headers` if they exceed their limit together; else empty."""
    if key + headers <= KEY_AND_HEADERS_BYTES:
        return ""
    return "key" if key > headers else "headers"


def encode_headers(headers: Sequence[tuple[str, bytes | None]]) -> bytes:
    """`headers` in the encoding of a Kafka record, starting with their count."""
    encoded = bytearray()
    encode_varint(len(headers), encoded.append)
    for name, value in headers:
        for part in (name.encode("utf-8", "replace"), value):
            encode_varint(-1 if part is None else len(part), encoded.append)
            encoded += part or b""
    return bytes(encoded)
