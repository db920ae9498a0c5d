"""PostgreSQL's binary COPY format, both ways, for the few column types that the event store has."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from struct import Struct

from event_store.database import Cursor

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""PostgreSQL counts timestamps in microseconds from here."""
UNIX_EPOCH_US = 946_684_800_000_000

_READ_SIZE = 1 << 20
_SHORT = Struct(">h")
_LENGTH = Struct(">i")


def to_us(moment: datetime) -> int:
    """An aware datetime as PostgreSQL's microseconds."""
    since = moment - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def from_us(value: int) -> datetime:
    """PostgreSQL's microseconds as an aware datetime, UTC."""
    return EPOCH + timedelta(microseconds=value)


def copy_in(cursor: Cursor, statement: str, rows: Iterable[bytes]) -> None:
    """Send rows that are encoded already (field count, then length and bytes of each field)."""
    data = io.BytesIO(b"".join((HEADER, *rows, TRAILER)))
    cursor.copy_expert(statement, data, size=_READ_SIZE)


def copy_out(cursor: Cursor, statement: str) -> Iterator[list[bytes]]:
    """The fields of each row, as bytes. No field may be NULL."""
    sink = io.BytesIO()
    cursor.copy_expert(statement, sink, size=_READ_SIZE)
    data = sink.getbuffer()
    at = len(HEADER)
    while (count := _SHORT.unpack_from(data, at)[0]) >= 0:
        at += 2
        row = []
        for _ in range(count):
            start = at + 4
            at = start + _LENGTH.unpack_from(data, at)[0]
            row.append(bytes(data[start:at]))
        yield row
