"""Alerts about overdue reviews. `ingest` appends that a review is overdue; the alert follows from that event.

No rule raises them: a rule sees audit events, and the events of reviews are none. No suppression holds them back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from uuid import UUID, uuid5

import msgspec

from detection.evaluation.firing import FiringKind
from detection.live.alerts import Alert
from detection.reviews.review import Review
from detection.reviews.stored_events import REVIEW_EVENTS
from event_store.aggregate_events import AggregateEvent

RULE_ID = "1f7a3f0c-2f3b-4b0e-9a62-5b7c1f7f3c55"
"""Stands for a rule in alerts. It is stored, so it never changes."""
_DIGEST = sha256(b"audit-trail: a review is overdue, version 1").hexdigest()
_TITLE = "A review is overdue"


def overdue_alerts(events: Iterable[AggregateEvent]) -> Iterator[Alert]:
    """The alert of each event that notices an overdue review. Its id follows from the id of the review."""
    for event in events:
        if event.topic != Review.OverdueNoticed.TOPIC:
            continue
        noticed = REVIEW_EVENTS.event(event.stream, event.version, event.topic, event.state)
        assert isinstance(noticed, Review.OverdueNoticed)
        yield Alert(
            position=event.position,
            raised_at=event.recorded_at,
            begins=noticed.due_at,
            ends=event.recorded_at,
            events=1,
            final=True,
            alert_id=str(uuid5(UUID(RULE_ID), str(event.stream))),
            kind=FiringKind.MATCH.value,
            rule_id=RULE_ID,
            rule_digest=_DIGEST,
            title=_TITLE,
            level="high",
            group_key=msgspec.json.encode([("review", str(event.stream))]).decode(),
            actor=None,
            positions=[event.position],
            reasons=[_reason(noticed)],
        )


def _reason(noticed: Review.OverdueNoticed) -> str:
    return (
        f"The review {noticed.name} was due on {noticed.due_at:%Y-%m-%d}, and {noticed.undecided} of"
        f" {noticed.items} items are not decided."
    )
