"""The buckets of an event in a count, from the event itself."""

from __future__ import annotations

from domain.event import RecordedEvent
from queries.filters.attributes import ACTION
from queries.filters.event_filter import CountBy


def keys_of(by: CountBy, recorded: RecordedEvent) -> list[str | None]:
    event = recorded.event
    if by is CountBy.PATIENT:
        return list({patient.id for patient in event.patients})
    hour = event.occurred_at.replace(minute=0, second=0, microsecond=0)
    keys: dict[CountBy, str | None] = {
        CountBy.TYPE: event.type,
        CountBy.ACTOR: event.actor.id,
        CountBy.SERVICE: event.source.service,
        CountBy.ACTION: "".join(ACTION.of(recorded)),
        CountBy.OUTCOME: event.outcome.value,
        CountBy.HOUR: hour.isoformat(),
        CountBy.DAY: hour.replace(hour=0).isoformat(),
    }
    return [keys[by]]
