"""The message of `audit-trail forward test`: it is no event of the log, and says so."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

from domain.catalogue import GENERIC_TYPE, TRAIL_SERVICE
from domain.event import Actor, ActorKind, AuditEvent, RecordedEvent, Source
from forwarding.records import Record
from interop.leaf import LeafFacts

_TEXT = "A test of this receiver by `audit-trail forward test`. Nothing has happened."


def probe(follower: str, origin: str) -> Record:
    """A record with the position -1, which no event has."""
    now = datetime.now(UTC)
    event = AuditEvent(
        event_id=uuid4(),
        type=GENERIC_TYPE,
        occurred_at=now,
        source=Source(service=TRAIL_SERVICE),
        actor=Actor(kind=ActorKind.SERVICE, id=f"{TRAIL_SERVICE}-forwarder"),
        outcome_reason=_TEXT,
        attributes={"test": True},
    )
    recorded = RecordedEvent(position=-1, recorded_at=now, stream=UUID(int=0), stream_position=0, event=event)
    return Record(follower, recorded, LeafFacts(origin, -1, bytes(32), None, None), test=True)
