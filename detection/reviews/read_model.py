"""The rows of the read model of reviews, for events of aggregates. Pure.

The rows of one event depend on this event alone, so batches may be applied in any grouping.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from detection.reviews.review import Review
from detection.reviews.stored_events import REVIEW_EVENTS
from event_store.aggregate_events import AggregateEvent
from projections.models.reviews import ITEM, REVIEW, TABLES
from projections.tables import Row, Table

OPEN, CLOSED = "open", "closed"


def rows(events: Iterable[AggregateEvent]) -> dict[str, list[Row]]:
    """The rows of each table. Events of other aggregates give none.

    Raises `LogInconsistentError` for an event of a review that this program can't have written.
    """
    made: dict[str, list[Row]] = {table.name: [] for table in TABLES}
    for event in events:
        if event.topic in REVIEW_EVENTS.topics:
            happened = REVIEW_EVENTS.event(event.stream, event.version, event.topic, event.state)
            assert isinstance(happened, Review.Event)
            made[REVIEW.name].append(_row(REVIEW, _of_review(event, happened)))
            made[ITEM.name].extend(_row(ITEM, each) for each in _of_items(event, happened))
    return made


def _of_review(event: AggregateEvent, happened: Review.Event) -> dict[str, Any]:
    values: dict[str, Any] = {
        "review_id": str(event.stream),
        "items": 0,
        "decided": 0,
        "without_reviewer": 0,
        "position": event.position,
        "changed_at": event.recorded_at,
    }
    match happened:
        case Review.Begun():
            values |= {
                "begun_position": event.position,
                "begun_at": happened.timestamp,
                "begun_by": happened.by.id,
                "name": happened.name,
                "purpose": happened.purpose,
                "kind": happened.kind.value,
                "plan": event.state,
                "tree_size": happened.plan.size,
                "root_hash": happened.plan.root,
                "due_at": happened.due_at,
                "state_position": event.position,
                "state": OPEN,
                "items": happened.items,
            }
        case Review.ItemsAssigned():
            values["without_reviewer"] = sum(each.reviewer is None for each in happened.items)
        case Review.ItemReassigned():
            values["without_reviewer"] = -1 if happened.had_none else 0
        case Review.ItemDecided():
            values["decided"] = 0 if happened.correction else 1
        case Review.OverdueNoticed():
            values["overdue_at"] = happened.timestamp
        case Review.Closed():
            values |= {
                "state_position": event.position,
                "state": CLOSED,
                "closed_at": happened.timestamp,
                "closed_by": happened.by.id,
                "close_reason": happened.reason,
                "result": msgspec.json.encode(happened.result, order="sorted"),
            }
    return values


def _of_items(event: AggregateEvent, happened: Review.Event) -> list[dict[str, Any]]:
    review = str(event.stream)
    match happened:
        case Review.ItemsAssigned():
            return [
                {
                    "review_id": review,
                    "item": each.number,
                    "key": each.key,
                    "stratum": each.stratum,
                    "subject": each.subject,
                    "what": each.what,
                    "positions": msgspec.json.encode(each.positions),
                    "assigned_position": event.position,
                    "reviewer": each.reviewer and each.reviewer.id,
                    "reviewer_name": each.reviewer and each.reviewer.name,
                    "decisions": 0,
                }
                for each in happened.items
            ]
        case Review.ItemReassigned():
            changed = {
                "assigned_position": event.position,
                "reviewer": happened.reviewer.id,
                "reviewer_name": happened.reviewer.name,
                "decisions": 0,
            }
        case Review.ItemDecided():
            changed = {
                "decided_position": event.position,
                "verdict": happened.verdict.value,
                "reason": happened.reason,
                "seconds": happened.seconds,
                "decided_by": happened.by.id,
                "decided_at": happened.timestamp,
                "decisions": 1,
            }
        case _:
            return []
    return [{"review_id": review, "item": happened.item} | changed]


def _row(table: Table, values: dict[str, Any]) -> Row:
    return tuple(values.get(name) for name in table.names)
