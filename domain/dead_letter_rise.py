"""The event that says: of one source, more messages became dead letters within an hour than usual."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID, uuid5

from msgspec import Struct, to_builtins

from domain.catalogue import TRAIL_SERVICE
from domain.event import Actor, ActorKind, AuditEvent, Outcome, Resource, Source

TYPE = "dead_letters.risen"
UNKNOWN_SOURCE = "(unknown)"
"""Stands for the source of messages that do not name one in a form that can be read."""
_NAMESPACE = UUID("0d9b1a54-6c86-5a0e-8f0c-7e2f1b6c9a31")


class DeadLetterRise(Struct, frozen=True, kw_only=True):
    """What happened in the hour that began at `hour`, until the event.

    `claimed_source` is what the rejected messages say of themselves: nobody has checked it. `received` counts the
    accepted messages too. `usual_share` is the share of dead letters in the hours before, weighted towards the latest.
    """

    topic: str
    claimed_source: str
    hour: datetime
    dead_letters: int
    received: int
    usual_share: float
    reasons: Mapping[str, int]

    @property
    def event_id(self) -> UUID:
        """One for each topic, source and hour: so it is on record once, also after a restart."""
        return uuid5(_NAMESPACE, f"{self.hour.isoformat()}\n{self.topic}\n{self.claimed_source}")


def risen_event(rise: DeadLetterRise, source: Source, at: datetime) -> AuditEvent:
    """The event. `source` is the trail's own."""
    return AuditEvent(
        event_id=rise.event_id,
        type=TYPE,
        occurred_at=at,
        source=source,
        actor=Actor(kind=ActorKind.SERVICE, id=f"{TRAIL_SERVICE}-ingest"),
        outcome=Outcome.MINOR_FAILURE,
        outcome_reason=(
            f"{rise.dead_letters} of {rise.received} messages were rejected within the hour; usual are"
            f" {rise.usual_share:.1%}"
        ),
        resources=(Resource(type="KafkaTopic", id=rise.topic),),
        attributes=to_builtins(rise),
    )
