"""Events of aggregates, in the order of the log.

`event_reader` omits them: they are no audit events. A projector of aggregates reads both.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from domain.body import BodyFormat
from event_store.database import Connection
from event_store.statements import load

_SQL = load(__package__, "aggregate_events.sql")


class AggregateEvent(NamedTuple):
    """A stored event of an aggregate. `stream` is the aggregate's id, `state` the body, byte for byte."""

    position: int
    recorded_at: datetime
    stream: UUID
    version: int
    topic: str
    state: bytes


def read_aggregate_events(connection: Connection, after: int, until: int) -> list[AggregateEvent]:
    """All events of aggregates after the position `after` (-1 to start), up to `until`.

    The caller bounds the range, as `read_events` does.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            _SQL["between"], {"after": after, "until": until, "aggregate": int(BodyFormat.AGGREGATE)}
        )
        return [
            AggregateEvent(position, recorded_at, stream, version, topic, bytes(body))
            for position, recorded_at, stream, version, topic, body in cursor.fetchall()
        ]


def position_of(connection: Connection, stream: UUID, version: int) -> int | None:
    """The position of one event of an aggregate; None if there is none. For `ingest` and readers."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["position_of"], {"stream": stream, "version": version})
        row = cursor.fetchone()
    return None if row is None else int(row[0])
