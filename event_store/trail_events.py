"""Events that `ingest` itself reports, appended right after a batch, in its transaction."""

from __future__ import annotations

from collections.abc import Sequence

from domain.body import BodyFormat
from domain.event import AuditEvent
from domain.validation import encode_event
from event_store.append import Appended, NewEvent, append
from event_store.database import Connection
from event_store.gaps import TRAIL_STREAM
from event_store.signing import HeadSigner
from event_store.statements import load

_SQL = load(__package__, "trail_events.sql")


def append_trail_events(
    connection: Connection, events: Sequence[AuditEvent], appended: Appended, signer: HeadSigner
) -> Appended:
    """Append `events` at the end of the log, which `appended` says. Returns the result for both together."""
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
    return appended._replace(size=also.size, root=also.root)


def unknown(connection: Connection, events: Sequence[AuditEvent]) -> list[AuditEvent]:
    """Those of `events` whose ids the log does not have. The transaction holds the lock of the log."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["known"], {"event_ids": [event.event_id for event in events]})
        known = {event_id for (event_id,) in cursor.fetchall()}
    return [event for event in events if event.event_id not in known]
