"""Dead letters: messages that could not be accepted, kept whole, and what was decided about each."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid5

from domain.errors import ConfigurationError, Reason
from event_store.database import Connection

_NAMESPACE = UUID("5f0f7f0e-4a0e-4a52-8f0c-6f3f8a3f2d11")

_SELECT = """
SELECT letter.id, letter.received_at, letter.stream, letter.topic, letter.partition, letter."offset",
    letter.timestamp, letter.key, letter.value, letter.headers, letter.reason, letter.field, letter.message
FROM audit_trail.dead_letter AS letter
"""


class DeadLetter(NamedTuple):
    """A stored dead letter. `value` and `key` are the message's own bytes."""

    id: int
    received_at: datetime
    stream: UUID
    topic: str
    partition: int
    offset: int
    timestamp: datetime | None
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    reason: Reason
    field: str
    message: str


def resolution_id(letter: DeadLetter) -> UUID:
    """The aggregate that holds the decisions about a dead letter."""
    return uuid5(_NAMESPACE, f"{letter.id} {letter.stream} {letter.offset}")


def list_dead_letters(connection: Connection, *, after: int = 0, limit: int = 100) -> list[DeadLetter]:
    """Dead letters in order of id, from the one behind `after` on."""
    with connection.cursor() as cursor:
        cursor.execute(_SELECT + "WHERE letter.id > %s ORDER BY letter.id LIMIT %s", (after, limit))
        return [_from_row(row) for row in cursor.fetchall()]


def get_dead_letter(connection: Connection, id: int) -> DeadLetter:
    """One dead letter. Raises `ConfigurationError` when there is none with that id."""
    with connection.cursor() as cursor:
        cursor.execute(_SELECT + "WHERE letter.id = %s", (id,))
        row = cursor.fetchone()
    if row is None:
        raise ConfigurationError(f"there is no dead letter {id}: see `audit-trail dead-letters list`")
    return _from_row(row)


def count_by_reason(connection: Connection) -> dict[str, int]:
    """How many dead letters there are for each reason."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT reason, count(*) FROM audit_trail.dead_letter GROUP BY reason ORDER BY reason")
        return dict(cursor.fetchall())


def _from_row(row: tuple[Any, ...]) -> DeadLetter:
    (
        id,
        received_at,
        stream,
        topic,
        partition,
        offset,
        timestamp,
        key,
        value,
        headers,
        reason,
        field,
        message,
    ) = row
    return DeadLetter(
        id,
        received_at,
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
    )
