"""PostgreSQL's binary COPY format, in both directions, for the column types of the event store."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from struct import Struct, unpack_from
from typing import Any

from event_store.database import Cursor

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""The epoch of PostgreSQL's timestamps, which count microseconds."""
UNIX_EPOCH_US = 946_684_800_000_000

_READ_SIZE = 1 << 20


def to_us(moment: datetime) -> int:
    """An aware datetime as PostgreSQL's microseconds."""
    since = moment - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def from_us(value: int) -> datetime:
    """PostgreSQL's microseconds as an aware datetime, UTC."""
    return EPOCH + timedelta(microseconds=value)


def copy_in(cursor: Cursor, statement: str, rows: Iterable[bytes]) -> None:
    """Send encoded rows (field count, then length and bytes of each field)."""
    data = io.BytesIO(b"".join((HEADER, *rows, TRAILER)))
    cursor.copy_expert(statement, data, size=_READ_SIZE)


def copy_out_rows(cursor: Cursor, statement: str, fixed: Struct) -> Iterator[tuple[tuple[Any, ...], bytes]]:
    """Read rows with fields of fixed width and a last one of any width, none of them NULL.

    `fixed` unpacks a row from the number of fields to the length of the last one. Yields the unpacked values and the
    last field.
    """
    sink = io.BytesIO()
    cursor.copy_expert(statement, sink, size=_READ_SIZE)
    data = sink.getvalue()
    unpack, width = fixed.unpack_from, fixed.size
    at, end = len(HEADER), len(data) - len(TRAILER)
    while at < end:
        values = unpack(data, at)
        start = at + width
        at = start + values[-1]
        yield values, data[start:at]


def only_row(data: bytes) -> list[bytes]:
    """The fields of the single row of a binary COPY; NULL becomes empty bytes."""
    (count,) = unpack_from(">h", data, len(HEADER))
    at = len(HEADER) + 2
    fields = []
    for _ in range(count):
        (size,) = unpack_from(">i", data, at)
        at += 4
        fields.append(data[at : at + max(size, 0)])
        at += max(size, 0)
    return fields
