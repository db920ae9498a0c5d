"""Events as rows of a list."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct

from dashboard import links
from dashboard.sentences import sentence
from dashboard.viewer import Moment, Viewer
from domain.catalogue import CATALOGUE
from domain.event import AuditEvent, Outcome, RecordedEvent

Pivot = Callable[[str, str, bool], str]
"""(name of a condition, value, without) -> the link to the events that have the value, or that have it not."""


class Pivots(Struct, frozen=True):
    """The links of one cell."""

    value: str
    only: str
    without: str


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
    pivots: dict[str, Pivots]


def rows_of(events: Iterable[RecordedEvent], viewer: Viewer, *, pivot: Pivot | None = None) -> list[EventRow]:
    """The rows, in the order of the events. With `pivot`, cells lead to what has their value, and to what has not."""
    return [_row(each, viewer, pivot) for each in events]


def _row(recorded: RecordedEvent, viewer: Viewer, pivot: Pivot | None) -> EventRow:
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
        pivots={} if pivot is None else _pivots(event, pivot),
        address=(event.client.address or "") if event.client is not None else "",
    )


def _pivots(event: AuditEvent, pivot: Pivot) -> dict[str, Pivots]:
    values = {
        "actor": event.actor.id,
        "type": event.type,
        "service": event.source.service,
        "address": None if event.client is None else event.client.address,
    }
    return {
        name: Pivots(value, pivot(name, value, False), pivot(name, value, True))
        for name, value in values.items()
        if value
    }
