"""Dead letters: messages that could not be accepted, in storage.

A small message is stored whole. Of a large message the first bytes are stored, with the size and SHA-256 of the whole:
otherwise a sender could fill memory and disk with rejected messages.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from hashlib import sha256
from struct import Struct as Layout
from typing import Any, NamedTuple
from uuid import UUID, uuid5

from msgspec import Struct

from domain.errors import ConfigurationError, Reason
from event_store.binary_copy import copy_in, to_us
from event_store.database import Connection, Cursor
from event_store.statements import load

_NAMESPACE = UUID("5f0f7f0e-4a0e-4a52-8f0c-6f3f8a3f2d11")
_SQL = load(__package__, "dead_letters.sql")
_COPY_BYTES = 8 << 20
"""Bytes sent in one COPY. Memory holds them twice, as rows and joined, whatever the size of the batch."""


class Cut(NamedTuple):
    """The size in bytes and the SHA-256 of a part that is stored truncated."""

    size: int
    sha256: bytes

    @classmethod
    def of(cls, data: bytes | None) -> Cut | None:
        """That of `data`; None when it is empty."""
        return cls(len(data), sha256(data).digest()) if data else None


class SealedBatch(NamedTuple):
    """A Kafka batch that could not be read. `record_count` is from the batch header; None when that is unreadable."""

    last_offset: int
    codec: str
    record_count: int | None


class NewDeadLetter(Struct, frozen=True):
    """A message that could not be accepted, or a batch that could not be read."""

    stream: UUID
    topic: str
    partition: int
    offset: int
    timestamp: datetime | None
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    reason: Reason
    field: str
    message: str
    value_cut: Cut | None = None
    key_cut: Cut | None = None
    headers_cut: Cut | None = None
    batch: SealedBatch | None = None


class ListedDeadLetter(NamedTuple):
    """A stored dead letter without the message itself. `last_offset` belongs to a batch; None for a single message."""

    id: int
    received_at: datetime
    stream: UUID
    topic: str
    partition: int
    offset: int
    last_offset: int | None
    reason: Reason
    field: str
    message: str


class DeadLetter(NewDeadLetter, frozen=True, kw_only=True):
    """A stored dead letter. `value` and `key` are the message's bytes, or the first ones if truncated."""

    id: int
    received_at: datetime

    @property
    def is_cut(self) -> bool:
        """Whether a part of the message was truncated."""
        return any(cut is not None for cut in (self.value_cut, self.key_cut, self.headers_cut))


def insert_dead_letters(cursor: Cursor, letters: Iterable[NewDeadLetter]) -> None:
    """Insert `letters`, in pieces of some megabytes."""
    rows: list[bytes] = []
    size = 0
    for row in map(_encode, letters):
        rows.append(row)
        size += len(row)
        if size >= _COPY_BYTES:
            copy_in(cursor, _SQL["copy"], rows)
            rows, size = [], 0
    if rows:
        copy_in(cursor, _SQL["copy"], rows)


def resolution_id(letter: DeadLetter | ListedDeadLetter) -> UUID:
    """The id of the aggregate with the decisions on a dead letter."""
    return uuid5(_NAMESPACE, f"{letter.id} {letter.stream} {letter.offset}")


def list_dead_letters(connection: Connection, *, after: int = 0, limit: int = 100) -> list[ListedDeadLetter]:
    """Dead letters in order of id, starting after `after`, without the messages."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["list"], {"after": after, "limit": limit})
        return [ListedDeadLetter(*row)._replace(reason=Reason(row[7])) for row in cursor.fetchall()]


def get_dead_letter(connection: Connection, id: int) -> DeadLetter:
    """One dead letter. Raises `ConfigurationError` when the id does not exist."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["get"], {"id": id})
        row = cursor.fetchone()
    if row is None:
        raise ConfigurationError(f"there is no dead letter {id}: see `audit-trail dead-letters list`")
    return _from_row(row)


def count_by_reason(connection: Connection) -> dict[str, int]:
    """The number of dead letters for each reason."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["count_by_reason"])
        return dict(cursor.fetchall())


_LENGTH = Layout(">i").pack
_FIELD_COUNT = Layout(">h").pack(20)
_NULL = _LENGTH(-1)
_INT4 = Layout(">ii").pack
_INT8 = Layout(">iq").pack


def _encode(letter: NewDeadLetter) -> bytes:
    """The row for a binary COPY, which sends bytes unchanged. As text each byte would take two."""
    batch = letter.batch
    return b"".join(
        (
            _FIELD_COUNT,
            *_field(letter.stream.bytes),
            *_field(_text(letter.topic)),
            _INT4(4, letter.partition),
            _INT8(8, letter.offset),
            *_int8(None if letter.timestamp is None else to_us(letter.timestamp)),
            *_field(letter.key),
            *_field(letter.value),
            *_field(_headers(letter.headers)),
            *_field(letter.reason.value.encode()),
            *_field(_text(letter.field)),
            *_field(_text(letter.message)),
            *_cut(letter.value_cut),
            *_cut(letter.key_cut),
            *_cut(letter.headers_cut),
            *_int8(None if batch is None else batch.last_offset),
            *_field(None if batch is None else batch.codec.encode()),
            _NULL if batch is None or batch.record_count is None else _INT4(4, batch.record_count),
        )
    )


def _field(data: bytes | None) -> tuple[bytes, ...]:
    return (_NULL,) if data is None else (_LENGTH(len(data)), data)


def _int8(value: int | None) -> tuple[bytes]:
    return (_NULL if value is None else _INT8(8, value),)


def _cut(cut: Cut | None) -> tuple[bytes, ...]:
    return (_NULL, _NULL) if cut is None else (*_int8(cut.size), *_field(cut.sha256))


def _text(value: str) -> bytes:
    """Text for a text column: a field path can contain a name that a sender chose."""
    return value.replace("\0", "\ufffd")[:2000].encode("utf-8", "replace")


def _headers(headers: Sequence[tuple[str, bytes | None]]) -> bytes:
    return json.dumps([(name, base64.b64encode(value or b"").decode()) for name, value in headers]).encode()


def _from_row(row: Sequence[Any]) -> DeadLetter:
    id, received_at, stream, topic, partition, offset, last_offset, reason, field, message, *rest = row
    timestamp, key, value, headers, *cuts, codec, record_count = rest
    value_cut, key_cut, headers_cut = map(_read_cut, _pairs(cuts))
    return DeadLetter(
        stream,
        topic,
        partition,
        offset,
        timestamp,
        None if key is None else bytes(key),
        None if value is None else bytes(value),
        [(name, base64.b64decode(data)) for name, data in headers],
        Reason(reason),
        field,
        message,
        value_cut,
        key_cut,
        headers_cut,
        None if last_offset is None else SealedBatch(last_offset, codec, record_count),
        id=id,
        received_at=received_at,
    )


def _pairs(values: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    return zip(values[::2], values[1::2], strict=True)


def _read_cut(pair: tuple[int | None, Any]) -> Cut | None:
    size, digest = pair
    return None if size is None else Cut(size, bytes(digest))
