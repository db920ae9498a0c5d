"""Events as ingest hands them to the store."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

from domain.body import BodyFormat
from event_store.append import NewEvent

NOW = datetime(2026, 1, 1, 10, tzinfo=UTC)


MESSAGE = (
    '{{"event_id":"{id}","type":"record.searched","occurred_at":"2026-01-01T10:00:00Z",'
    '"source":{{"service":"patients"}},"actor":{{"id":"{actor}"}}}}'
)


def event(stream: UUID, offset: int, *, id: UUID | None = None, actor: str = "u1") -> NewEvent:
    id = id or uuid4()
    body = MESSAGE.format(id=id, actor=actor).encode()
    return NewEvent(id, stream, offset, "record.searched", NOW, BodyFormat.NATIVE, body)
