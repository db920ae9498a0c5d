"""The read model: the rows of an event follow from this event alone, and stored bodies are read for decades."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from detection.reviews.read_model import rows
from detection.reviews.review import Item, Plan, Review
from detection.reviews.stored_events import REVIEW_EVENTS
from domain.cases.commands import Person
from domain.errors import LogInconsistentError
from domain.reviews.commands import CloseReview, DecideItem, ReassignItem, ReviewVerdict
from event_store.aggregate_events import AggregateEvent
from projections.models.reviews import ITEM, REVIEW, TABLES
from tests.detection.reviews.given_reviews import NOW, RITA, begin, command

STREAM = UUID("00000000-0000-4000-8000-000000000001")
PLAN = Plan(size=9, root="00", seed="ab", first=0, end=9, staff_version=None, population={"": 9})
DECIDED = (
    '{"by":{"id":"rita","kind":"user","name":null},"command":"00000000-0000-4000-8000-000000000002",'
    '"correction":false,"item":1,"reason":"On duty.","seconds":null,"timestamp":"2026-03-02T08:00:00Z",'
    '"type":"review.item_decided","verdict":"justified"}'
)


def items(count: int) -> list[Item]:
    return [
        Item(
            number=number,
            key=str(number),
            stratum="",
            subject="ada",
            positions=[number],
            what="record.read by ada",
            reviewer=Person(id="rita") if number > 1 else None,
        )
        for number in range(1, count + 1)
    ]


def a_review() -> list[AggregateEvent]:
    """Every kind of event, as the log returns it."""
    review = Review.begin(command(STREAM, begin()), begin(), PLAN, items(3))
    for verdict in (ReviewVerdict.UNCLEAR, ReviewVerdict.JUSTIFIED):
        body = DecideItem(item=2, verdict=verdict, reason="On duty.")
        review.change(command(STREAM, body, RITA), body)
    reassign = ReassignItem(item=1, reviewer=Person(id="rob"), reason="x")
    review.change(command(STREAM, reassign), reassign)
    assert review.notice_overdue(NOW + timedelta(days=31))
    close = CloseReview(reason="Done.")
    review.change(command(STREAM, close), close)
    found = []
    for position, event in enumerate(review.collect_events()):
        stored = REVIEW_EVENTS.to_stored_event(event)
        found.append(
            AggregateEvent(position, NOW, STREAM, stored.originator_version, stored.topic, stored.state)
        )
    return found


def test_a_review_has_all_kinds_of_events() -> None:
    assert {each.topic for each in a_review()} == REVIEW_EVENTS.topics


def test_rows_say_how_far_a_review_is() -> None:
    made = rows(a_review())
    [review] = [dict(zip(REVIEW.names, row, strict=True)) for row in REVIEW.combine(made[REVIEW.name])]
    assert (review["state"], review["items"], review["decided"], review["without_reviewer"]) == (
        "closed", 3, 1, 0,
    )  # fmt: skip
    assert review["overdue_at"] is not None
    found = [dict(zip(ITEM.names, row, strict=True)) for row in ITEM.combine(made[ITEM.name])]
    assert {row["item"]: (row["reviewer"], row["verdict"], row["decisions"]) for row in found} == {
        1: ("rob", None, 0),
        2: ("rita", "justified", 2),
        3: ("rita", None, 0),
    }


def test_the_order_and_the_size_of_batches_do_not_matter() -> None:
    events = a_review()
    whole = rows(events)
    for table in TABLES:
        parts = [rows(some)[table.name] for some in (events[3:], events[:3])]
        merged = table.combine(table.combine(parts[0]) + table.combine(parts[1]))
        assert sorted(map(repr, table.combine(whole[table.name]))) == sorted(map(repr, merged))


def test_a_body_is_read_and_written_byte_for_byte() -> None:
    event = REVIEW_EVENTS.event(STREAM, 4, "review.item_decided", DECIDED.encode())
    assert REVIEW_EVENTS.to_stored_event(event).state.decode() == DECIDED


def test_a_body_that_names_another_type_is_refused() -> None:
    with pytest.raises(LogInconsistentError, match="can't be read"):
        REVIEW_EVENTS.event(uuid4(), 4, "review.item_decided", DECIDED.replace("item_d", "item_D").encode())
