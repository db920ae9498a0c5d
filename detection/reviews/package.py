"""The package of a review: its events and those of its items, as an evidence kit."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from detection.reviews.reading import SQL
from detection.reviews.review import Review
from detection.reviews.stored_events import REVIEW_EVENTS
from domain.errors import Reason, RejectedError
from event_store.database import Database
from event_store.event_reader import events_at
from event_store.evidence.kit import Selection


class Package(NamedTuple):
    """What a package has. `patients` are those of the items' events."""

    selection: Selection
    closed: bool
    patients: tuple[str, ...]


def package_of(database: Database, id: UUID) -> Package:
    """The package of a review, as the log has it now. Raises `RejectedError` when there is none."""
    own, events = _events(database, id)
    items = {position for event in events for position in _positions(event)}
    with database.transaction(read_only=True) as connection:
        recorded = events_at(connection, sorted(items))
    patients = dict.fromkeys(patient.id for each in recorded for patient in each.event.patients)
    selection = Selection(
        query=_described(id, events), positions=sorted(items | set(own)), as_of_position=own[-1]
    )
    return Package(selection, isinstance(events[-1], Review.Closed), tuple(patients))


def _events(database: Database, id: UUID) -> tuple[list[int], list[Review.Event]]:
    positions, events = [], []
    with database.transaction(read_only=True) as connection, connection.cursor() as cursor:
        cursor.execute(SQL["stream"], {"stream": id})
        for position, version, topic, state in cursor.fetchall():
            if topic in REVIEW_EVENTS.topics:
                event = REVIEW_EVENTS.event(id, version, topic, bytes(state))
                assert isinstance(event, Review.Event)
                positions.append(position)
                events.append(event)
    if not events:
        raise RejectedError(Reason.INVALID_FIELD, "there is no such review", field="review")
    return positions, events


def _positions(event: Review.Event) -> list[int]:
    if not isinstance(event, Review.ItemsAssigned):
        return []
    return [position for item in event.items for position in item.positions]


def _described(id: UUID, events: list[Review.Event]) -> dict[str, str | list[str]]:
    begun, last = events[0], events[-1]
    assert isinstance(begun, Review.Begun)
    described: dict[str, str | list[str]] = {
        "review": str(id),
        "name": begun.name,
        "kind": begun.kind.value,
        "drawn_from_tree_size": str(begun.plan.size),
        "drawn_from_root_hash": begun.plan.root,
        "seed": begun.plan.seed,
        "state": "closed" if isinstance(last, Review.Closed) else "open",
    }
    if isinstance(last, Review.Closed):
        result = last.result
        described |= {
            "items": str(result.items),
            "decided": str(result.decided),
            "undecided": str(result.undecided),
            "verdicts": [f"{verdict}: {count}" for verdict, count in sorted(result.verdicts.items())],
            "seconds": str(result.seconds),
        }
    return described
