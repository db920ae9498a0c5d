"""Whatever conditions come together, whichever leads and whatever its index compares: what is found is what matches."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from itertools import product
from typing import Any

import psycopg2
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from domain.event import RecordedEvent
from event_store.event_reader import read_events
from projections.registry import open_snapshot
from queries.counts import count_events
from queries.filters.event_filter import CountBy, EventFilter, PageRequest
from queries.filters.match import matches
from queries.search.event_pages import find_events
from queries.search.prepared import plan
from tests.databases import PROJECTED, Databases
from tests.trail import START, Trail, an_event

EVENTS = 400


def _minutes(start: int, until: int) -> EventFilter:
    return EventFilter(
        occurred_from=START + timedelta(minutes=start), occurred_until=START + timedelta(minutes=until)
    )


SESSIONS = tuple(f"s{number}" for number in range(12))
PATIENTS = tuple(f"p{number}" for number in range(15))
"""Lists of which not all values are looked at for a whole page: some values are not there, some have most events."""
CONDITIONS: list[dict[str, Any]] = [
    {"patient": "p1"},
    {"patient_in": ("p0", "p2")},
    {"actor": "a1"},
    {"user": "a1"},
    {"user_in": ("a0", "a2")},
    {"device": "a0"},
    {"device_in": ("d1", "a2")},
    {"service": "s1"},
    {"service_in": ("s0", "s2")},
    {"address": "10.0.0.1"},
    {"session": "s1"},
    {"session_in": SESSIONS},
    {"patient_in": PATIENTS},
    {"resource_type": "Observation"},
    {"resource_type": "Consent"},
    {"unnamed_resource_type": "Consent"},
    {"resource_type": "Consent", "resource_id": "r1"},
    {"types": ("record.read",)},
    {"types": ("record.read", "access.denied")},
    {"categories": ("data",)},
    {"outcomes": ("minor_failure",)},
    {"outcomes": ("minor_failure", "major_failure")},
    {"outcomes": ("success",)},
    {"emergency": True},
    {"or_": (EventFilter(patient="p1"), EventFilter(resource_type="Consent"), EventFilter(actor="a2"))},
    {"not_": EventFilter(service="s1")},
    {"or_": (_minutes(20, 60), EventFilter(and_=(_minutes(50, 90), EventFilter(actor_prefix="a"))))},
    {
        "or_": (
            _minutes(300, 310),
            EventFilter(position_from=100, position_until=140),
            EventFilter(session="s9"),
        )
    },
    {"actor_kinds": ("user",)},
    {"weekdays": ("monday",), "day_time_from": "11:00", "day_time_until": "09:00"},
]


def some_event(chance: random.Random, number: int) -> dict[str, Any]:
    patients = {f"p{int(chance.expovariate(0.4))}" for _ in range(chance.randrange(5))}
    kinds = ("Observation", "Consent", "Condition")
    named = {
        (chance.choice(kinds), chance.choice(("r0", "r1", "Doe, Jane"))) for _ in range(chance.randrange(4))
    }
    kind = chance.choice(("user", "user", "device", "service"))
    return {
        "type": chance.choice(("record.read", "record.searched", "access.denied", "user.logged_in")),
        "minute": number,
        "actor": {"kind": kind} | ({"id": f"a{chance.randrange(3)}"} if chance.random() < 0.8 else {}),
        "source": {"service": f"s{chance.randrange(3)}"},
        "patients": [{"id": each} for each in sorted(patients)],
        "resources": [{"type": type, "id": id} for type, id in sorted(named)],
        "device": {"id": f"d{chance.randrange(3)}"} if chance.random() < 0.4 else None,
        "client": {"address": f"10.0.0.{chance.randrange(3)}"} if chance.random() < 0.7 else None,
        "session": f"s{int(chance.expovariate(0.4))}",
        "outcome": chance.choice(("success", "success", "minor_failure", "major_failure")),
        "emergency": chance.random() < 0.1,
    }


@pytest.fixture(scope="module")
def mixed(databases: Databases) -> Iterator[tuple[Trail, list[RecordedEvent]]]:
    """A trail, and its events. No test changes it."""
    chance = random.Random(7)
    with databases.copy(PROJECTED) as url, closing(Trail(url)) as trail:
        trail.given(*(an_event(**some_event(chance, number)) for number in range(EVENTS)))
        with closing(psycopg2.connect(trail.url)) as connection:
            connection.autocommit = True
            connection.cursor().execute("VACUUM ANALYZE")
        with trail.reader.transaction(read_only=True) as connection:
            events = read_events(connection, -1, EVENTS).events
        yield trail, events


@for_all(
    asked=st.lists(st.sampled_from(CONDITIONS), min_size=1, max_size=3),
    limit=st.integers(1, 100),
    oldest_first=st.booleans(),
    by_time=st.booleans(),
    after=st.none() | st.integers(0, EVENTS - 1),
)
def test_what_is_found_is_what_matches(
    mixed: tuple[Trail, list[RecordedEvent]],
    asked: list[dict[str, Any]],
    limit: int,
    oldest_first: bool,
    by_time: bool,
    after: int | None,
) -> None:
    trail, events = mixed
    filter = EventFilter(and_=tuple(EventFilter(**each) for each in asked))
    expected = [each.position for each in events if matches(filter, each)]
    with trail.reader.transaction(read_only=True) as connection:
        open_snapshot(connection)
        counted = count_events(connection, plan(filter, by=CountBy.TYPE), 100, EVENTS - 1)
        page = PageRequest(first=limit, after=after, oldest_first=oldest_first, by_time=by_time)
        found = find_events(connection, plan(filter), page)
    assert counted.events == len(expected)
    listed = expected if oldest_first else expected[::-1]
    beyond = [at for at in listed if after is None or (at > after if oldest_first else at < after)]
    assert [each.position for each in found.events] == beyond[:limit]


@pytest.mark.parametrize(
    "asked",
    [
        {"session_in": SESSIONS},
        {"patient_in": PATIENTS},
        {"session_in": SESSIONS, "service": "s1"},
        {"or_": (EventFilter(session_in=SESSIONS), EventFilter(patient_in=PATIENTS))},
        {"session_in": SESSIONS, "occurred_from": START + timedelta(minutes=90)},
    ],
)
def test_of_many_values_each_has_its_share_and_no_event_is_missed(
    mixed: tuple[Trail, list[RecordedEvent]], asked: dict[str, Any]
) -> None:
    trail, events = mixed
    filter = EventFilter(**asked)
    matching = [each.position for each in events if matches(filter, each)]
    with trail.reader.transaction(read_only=True) as connection:
        open_snapshot(connection)
        for size, at in product((1, 2, 7, 20, 40, EVENTS), (0, 50, 51, 200, 333, EVENTS - 1)):
            older = find_events(connection, plan(filter), PageRequest(first=size, after=at))
            assert [each.position for each in older.events] == [p for p in matching[::-1] if p < at][:size]
            newer = find_events(connection, plan(filter), PageRequest(last=size, before=at))
            assert [each.position for each in newer.events] == [p for p in matching if p > at][:size][::-1]
