"""A scope is what somebody may see: nothing outside of it is found, counted, or varied apart from what is not there."""

from __future__ import annotations

from typing import Any

import pytest

from domain.errors import RejectedError
from event_store.event_reader import read_events
from projections.models.activity import ActivityProjector
from queries.export.pipeline import Exports
from queries.export.request import ExportRequest, Format
from queries.filters.event_filter import MAX_TERMS, CountBy, EventFilter, PageRequest, within
from queries.filters.match import matches
from queries.history import FieldChange
from queries.search.prepared import plan
from tests.queries.varied_events import EVENTS, FILTERS, P1, nested, positions
from tests.trail import Trail, an_event

ALL = PageRequest(first=50)
SCOPES: list[tuple[EventFilter | None, list[int]]] = [
    (None, [8, 7, 6, 5, 4, 3, 2, 1, 0]),
    (EventFilter(), [8, 7, 6, 5, 4, 3, 2, 1, 0]),
    (EventFilter(patient="p1"), [6, 5, 1, 0]),
    (EventFilter(or_=(EventFilter(patient="p2"), EventFilter(actor="nurse"))), [4, 1, 0]),
    (EventFilter(service_in=("devices", "other")), [3]),
    (EventFilter(categories=("device", "service")), [8, 3]),
]


@pytest.mark.parametrize(("scope", "within_it"), SCOPES)
def test_whatever_is_asked_only_what_is_within_the_scope_is_found(
    varied: Trail, scope: EventFilter | None, within_it: list[int]
) -> None:
    found = [positions(varied.events(EventFilter(**asked), ALL, scope)) for asked, _ in FILTERS]
    assert found == [[at for at in expected if at in within_it] for _, expected in FILTERS]


def test_an_event_matches_by_itself_as_it_does_in_the_database(varied: Trail) -> None:
    with varied.reader.transaction(read_only=True) as connection:
        events = read_events(connection, -1, 100).events[::-1]
    found = [
        (asked, [each.position for each in events if matches(EventFilter(**asked), each)])
        for asked, _ in FILTERS
    ]
    assert found == FILTERS


def test_an_event_outside_of_the_scope_is_not_there(varied: Trail) -> None:
    ids = [each.event.event_id for each in reversed(varied.events(EventFilter(), ALL).events)]
    for scope, within_it in SCOPES:
        found = [varied.read.event(each, scope) for each in ids]
        assert [each.position for each in found if each is not None] == sorted(within_it)


def test_an_event_is_within_its_scope_before_any_read_model_has_it(trail: Trail) -> None:
    event = an_event(patients=[P1])
    trail.append(event)
    assert trail.read.event(event.event_id, EventFilter(patient="p1")) is not None
    assert trail.read.event(event.event_id, EventFilter(patient="p2")) is None


def test_counts_are_of_the_scope_alone_and_it_leads_where_nothing_else_does(varied: Trail) -> None:
    found = varied.counts(EventFilter(), CountBy.TYPE, scope=EventFilter(patient="p2"))
    assert {bucket.key: bucket.events for bucket in found.buckets} == {
        "record.read": 1,
        "record.created": 1,
    }
    hours = varied.counts(EventFilter(), CountBy.HOUR, scope=EventFilter(patient="p2"))
    assert hours.events == 2
    with pytest.raises(RejectedError):
        varied.counts(EventFilter(), CountBy.TYPE, scope=EventFilter(purposes=("TREAT",)))


def test_the_history_of_a_resource_shows_what_events_within_the_scope_changed(trail: Trail) -> None:
    def changed(patient: str, value: int) -> Any:
        change = {"path": "x", "before": None, "after": value}
        resource = {"type": "Observation", "id": "o1"}
        return an_event("record.updated", patients=[{"id": patient}], resources=[resource], changes=[change])

    def shown(scope: EventFilter | None) -> list[FieldChange]:
        return trail.read.resource_changes("Observation", "o1", None, 10, scope=scope).changes

    trail.given(changed("p1", 1), changed("p2", 2), changed("p1", 3))
    assert [each.after for each in shown(None)] == [3, 2, 1]
    assert [each.after for each in shown(EventFilter(patient="p1"))] == [3, 1]


def test_an_export_holds_the_scope_alone(varied: Trail) -> None:
    request = ExportRequest(format=Format.NDJSON, filter=EventFilter(), scope=EventFilter(patient="p1"))
    with Exports(varied.reader).open(request) as opened:
        found = [row.position for batch in opened.batches() for row in batch.rows]
    assert found == [0, 1, 5, 6]
    with pytest.raises(RejectedError):
        ExportRequest(format=Format.NDJSON, table="activity", scope=EventFilter(patient="p1"))


def test_an_answer_is_complete_only_up_to_what_the_scope_needs_too(varied: Trail) -> None:
    varied.append(an_event(patients=[P1]))
    varied.project(ActivityProjector())
    page = varied.events(EventFilter(), ALL, EventFilter(patient="p1"))
    assert (positions(page), page.as_of_position) == ([6, 5, 1, 0], len(EVENTS) - 1)
    checkpoints = varied.read.positions()
    assert plan(EventFilter(), EventFilter(patient="p1")).complete_up_to(checkpoints) == len(EVENTS) - 1
    assert plan(EventFilter()).complete_up_to(checkpoints) == len(EVENTS)


def test_the_limits_of_a_filter_are_for_what_is_asked_and_not_for_the_scope(varied: Trail) -> None:
    many = EventFilter(or_=tuple(EventFilter(patient=f"x{n}") for n in range(MAX_TERMS)))
    deep = EventFilter(not_=nested(4))
    scope = EventFilter(or_=(EventFilter(patient="p1"), EventFilter(patient="p2")))
    assert positions(varied.events(many, ALL, scope)) == []
    assert positions(varied.events(deep, ALL, scope)) == [6, 5, 4, 1, 0]
    assert positions(varied.events(EventFilter(patient="p1"), ALL, many)) == []
    assert within(EventFilter(), scope) is scope
