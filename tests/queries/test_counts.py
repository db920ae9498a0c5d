"""Counts of events: exact whatever the filter, and bounded."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from domain.errors import RejectedError
from domain.event import RecordedEvent
from event_store.event_reader import read_events
from queries.filters.event_filter import CountBy, Distinct, EventFilter
from queries.filters.match import matches
from tests.queries.bucket_keys import keys_of
from tests.trail import START, Trail, an_event

MINUTES = [0, 10, 61, 62, 63, 1500, 5]
TYPES = ["record.read", "record.updated", "user.logged_in"]
LATER = START + timedelta(minutes=62)
SINCE: dict[str, Any] = {"occurred_from": START}


@pytest.fixture
def told(trail: Trail) -> Trail:
    trail.given(
        *(
            an_event(
                TYPES[at % 3],
                minute,
                actor={"id": f"u{at % 2}"} if at != 6 else {"kind": "unknown"},
                patients=[{"id": "p1"}, {"id": "p2"}] if at % 3 == 0 else [],
                outcome="success" if at else "major_failure",
            )
            for at, minute in enumerate(MINUTES)
        )
    )
    return trail


def counted(trail: Trail, by: CountBy, **filter: Any) -> dict[str | None, int]:
    found = trail.counts(EventFilter(**filter), by)
    assert found.bucket_count == len(found.buckets)
    assert found.events == sum(bucket.events for bucket in found.buckets)
    assert found.as_of_position == 6
    return {bucket.key: bucket.events for bucket in found.buckets}


BOTH = (Distinct.PATIENTS, Distinct.ACTORS)


@pytest.mark.parametrize("by", CountBy)
@pytest.mark.parametrize(
    "filter",
    [
        SINCE,
        {},
        {"patient_in": ("p1", "p2")},
        {"or_": (EventFilter(patient="p1"), EventFilter(actor="u0"))},
        {"actor": "u0", "not_": EventFilter(types=("record.updated",))},
        {"patient": "p3"},
        {"or_": (EventFilter(occurred_from=LATER), EventFilter(patient="p2"))},
    ],
    ids=repr,
)
def test_different_patients_and_actors_count_once_in_each_bucket_and_once_in_all(
    told: Trail, by: CountBy, filter: dict[str, Any]
) -> None:
    if not filter:
        # Numbers of events alone would need no range: different patients do.
        with pytest.raises(RejectedError):
            told.counts(EventFilter(), by, distinct=BOTH)
        return
    with told.reader.transaction(read_only=True) as connection:
        events = read_events(connection, -1, 10).events
    matching = [each for each in events if matches(EventFilter(**filter), each)]
    plain = told.counts(EventFilter(**filter), by)
    found = told.counts(EventFilter(**filter), by, distinct=BOTH)
    assert [replace(each, patients=None, actors=None) for each in found.buckets] == plain.buckets
    assert (found.bucket_count, found.events) == (plain.bucket_count, plain.events)
    assert (found.patients, found.actors) == different(matching)
    for bucket in found.buckets:
        within = [each for each in matching if bucket.key in keys_of(by, each)]
        assert (bucket.patients, bucket.actors) == different(within)
    alone = told.counts(EventFilter(**filter), by, 1, distinct=(Distinct.ACTORS,))
    assert (alone.actors, alone.patients, len(alone.buckets)) == (
        found.actors,
        None,
        min(len(plain.buckets), 1),
    )
    assert (alone.bucket_count, alone.events) == (plain.bucket_count, plain.events)


def different(events: list[RecordedEvent]) -> tuple[int, int]:
    patients = {patient.id for each in events for patient in each.event.patients}
    return len(patients), len({each.event.actor.id for each in events} - {None})


def hours(*minutes: int) -> dict[str | None, int]:
    return dict(Counter((START + timedelta(minutes=minute // 60 * 60)).isoformat() for minute in minutes))


def test_events_are_counted_by_what_they_say(told: Trail) -> None:
    assert counted(told, CountBy.TYPE, **SINCE) == dict(zip(TYPES, [3, 2, 2], strict=True))
    assert counted(told, CountBy.ACTOR, **SINCE) == {"u0": 3, "u1": 3, None: 1}
    assert counted(told, CountBy.PATIENT, **SINCE) == {"p1": 3, "p2": 3}
    assert counted(told, CountBy.OUTCOME, **SINCE) == {"success": 6, "major_failure": 1}
    assert counted(told, CountBy.SERVICE, **SINCE) == {"patient-service": 7}
    assert counted(told, CountBy.ACTION, **SINCE) == {"R": 3, "U": 2, "E": 2}
    assert counted(told, CountBy.HOUR) == hours(*MINUTES)
    assert counted(told, CountBy.HOUR, actor="u0") == hours(0, 61, 63)
    assert list(counted(told, CountBy.DAY).values()) == [1, 6]


def test_an_event_that_matches_in_two_ways_counts_once(told: Trail) -> None:
    assert counted(told, CountBy.TYPE, patient_in=("p1", "p2")) == {"record.read": 3}
    either = (EventFilter(patient="p1"), EventFilter(actor="u0"))
    assert counted(told, CountBy.TYPE, or_=either) == {
        "record.read": 3,
        "user.logged_in": 1,
        "record.updated": 1,
    }
    assert counted(told, CountBy.TYPE, patient="p3") == {}


@pytest.mark.parametrize("minutes", [(0, 60), (60, 120), (1, 62)])
def test_a_range_of_times_is_kept_to_the_second_with_or_without_whole_hours(
    told: Trail, minutes: tuple[int, int]
) -> None:
    start, until = (START + timedelta(minutes=minute) for minute in minutes)
    within = [minute for minute in MINUTES if minutes[0] <= minute < minutes[1]]
    range = {"occurred_from": start, "occurred_until": until}
    assert counted(told, CountBy.HOUR, **range) == hours(*within)
    assert sum(counted(told, CountBy.TYPE, **range).values()) == len(within)


def test_the_largest_buckets_and_the_newest_hours_come_first_and_the_rest_is_told(told: Trail) -> None:
    types = told.counts(EventFilter(**SINCE), CountBy.TYPE, 1)
    assert [bucket.key for bucket in types.buckets] == ["record.read"]
    assert (types.bucket_count, types.events) == (3, 7)
    newest = told.counts(EventFilter(), CountBy.HOUR, 1)
    [bucket] = newest.buckets
    assert (bucket.from_at, bucket.until_at) == (START + timedelta(hours=25), START + timedelta(hours=26))
    assert (newest.bucket_count, newest.events) == (3, 7)


@pytest.mark.parametrize(
    ("asked", "by"),
    [
        ({}, CountBy.ACTOR),
        ({"not_": EventFilter(actor="u1")}, CountBy.HOUR),
        ({"occurred_until": START}, CountBy.ACTOR),
        ({"or_": (EventFilter(actor="u1"), EventFilter(purposes=("TREAT",)))}, CountBy.TYPE),
    ],
)
def test_what_would_read_the_whole_trail_is_not_counted(
    trail: Trail, asked: dict[str, Any], by: CountBy
) -> None:
    with pytest.raises(RejectedError) as refused:
        trail.counts(EventFilter(**asked), by)
    assert refused.value.field == "occurred_from"


def test_before_anything_is_applied_there_is_nothing_to_count(trail: Trail) -> None:
    found = trail.counts(EventFilter(), CountBy.DAY)
    assert (found.buckets, found.events, found.as_of_position) == ([], 0, -1)
    found = trail.counts(EventFilter(actor="u0"), CountBy.DAY, distinct=BOTH)
    assert (found.patients, found.actors) == (0, 0)
