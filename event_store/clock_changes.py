"""Events about jumps of the clock: appended in the transaction that noticed the jump, and found after a restart."""

from __future__ import annotations

from collections.abc import Sequence

from domain.body import BodyFormat, read_event
from domain.event import AuditEvent
from domain.recording_clock import RECOVERED, Deviation
from domain.validation import encode_event
from event_store.append import Appended, NewEvent, append
from event_store.database import Connection
from event_store.gaps import TRAIL_STREAM
from event_store.signing import HeadSigner
from event_store.statements import load

_SQL = load(__package__, "clock_changes.sql")


def newest_clock_change(connection: Connection) -> AuditEvent | None:
    """The newest event about the clock. It is up to date in a transaction that has appended, which holds the lock."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["newest"], {"stream": TRAIL_STREAM, "types": [RECOVERED, *Deviation]})
        for _, format, body in cursor.fetchall():
            return read_event(format, bytes(body))
    return None


def append_clock_changes(
    connection: Connection, events: Sequence[AuditEvent], appended: Appended, signer: HeadSigner
) -> Appended:
    """Append `events` right after a batch, in its transaction. Returns the result for both together."""
    rows = [
        NewEvent(
            event.event_id,
            TRAIL_STREAM,
            position,
            event.type,
            event.occurred_at,
            BodyFormat.NATIVE,
            encode_event(event),
        )
        for position, event in enumerate(events, appended.size)
    ]
    also = append(connection, rows, signer)
    with connection.cursor() as cursor:
        for row in rows:
            cursor.execute(_SQL["insert"], {"position": row.stream_position})
    return appended._replace(size=also.size, root=also.root)
