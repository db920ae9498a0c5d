"""Events as rows of a list."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from dashboard import links
from dashboard.sentences import sentence
from dashboard.viewer import Moment, Viewer
from domain.catalogue import CATALOGUE
from domain.event import Outcome, RecordedEvent


class EventRow(Struct, frozen=True):
    """One event. `marks` are words that deserve attention."""

    link: str
    position: int
    at: Moment
    text: str
    type: str
    category: str
    outcome: str
    failed: bool
    marks: list[str]
    actor: str
    actor_link: str | None
    purposes: str
    service: str
    address: str


def rows_of(events: Iterable[RecordedEvent], viewer: Viewer) -> list[EventRow]:
    """The rows, in the order of the events."""
    return [_row(each, viewer) for each in events]


def _row(recorded: RecordedEvent, viewer: Viewer) -> EventRow:
    event = recorded.event
    entry = CATALOGUE.get(event.type)
    marks = ["break-glass"] if event.emergency else []
    if event.patients and event.type.startswith("record.") and not event.purpose_of_use:
        marks.append("no purpose")
    return EventRow(
        link=links.event(event.event_id),
        position=recorded.position,
        at=viewer.moment(event.occurred_at),
        text=sentence(event),
        type=event.type,
        category=entry.category.value if entry is not None else "other",
        outcome=event.outcome.value,
        failed=event.outcome is not Outcome.SUCCESS,
        marks=marks,
        actor=event.actor.name or event.actor.id or "",
        actor_link=links.actor(event),
        purposes=", ".join(event.purpose_of_use),
        service=event.source.service,
        address=(event.client.address or "") if event.client is not None else "",
    )
