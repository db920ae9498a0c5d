"""Events about jumps of the clock: appended in the transaction that noticed the jump, and found after a restart."""

from __future__ import annotations

from collections.abc import Sequence

from domain.body import read_event
from domain.event import AuditEvent
from domain.recording_clock import RECOVERED, Deviation
from event_store.append import Appended
from event_store.database import Connection
from event_store.gaps import TRAIL_STREAM
from event_store.signing import HeadSigner
from event_store.statements import load
from event_store.trail_events import append_trail_events

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
    found = append_trail_events(connection, events, appended, signer)
    with connection.cursor() as cursor:
        for position in range(appended.size, found.size):
            cursor.execute(_SQL["insert"], {"position": position})
    return found
