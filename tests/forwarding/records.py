"""Records for receivers."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from domain.event import RecordedEvent
from forwarding.records import Record
from interop.leaf import LeafFacts
from tests.trail import START, STREAM, an_event


def a_record(position: int = 7, previous: int | None = 5, **fields: Any) -> Record:
    """A record at this position, of an event with these fields."""
    fields = {"event_id": str(UUID(int=position + 1))} | fields
    recorded = RecordedEvent(
        position=position, recorded_at=START, stream=STREAM, stream_position=0, event=an_event(**fields)
    )
    return Record(
        "siem", recorded, LeafFacts("audit-trail.test/log", position, bytes(32), previous, position + 1)
    )
