"""The plans of what is sent to PostgreSQL: whatever is asked with an indexed condition, no table is read whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import psycopg2
import psycopg2.extensions
import pytest

from projections.registry import built_in, open_snapshot
from queries.counts import count_events
from queries.filters.event_filter import MAX_POSITION, CountBy, EventFilter, PageRequest, within
from queries.history import find_changes
from queries.search.access_paths import MAX_PATHS, AccessPath, choose, plans
from queries.search.event_pages import find_events
from queries.search.page_call import can_be_one_call
from queries.search.page_sql import build, compose
from queries.search.prepared import plan
from queries.search.selectivity import Bounds, BoundsFinder
from queries.summaries.device import find_device
from queries.summaries.patient import Between, find_patient
from queries.summaries.resource import find_resource
from queries.summaries.user import find_user
from tests.databases import PROJECTED, Databases
from tests.trail import START, Trail, an_event

EVENTS = 8000
DAY: dict[str, Any] = {
    "occurred_from": START + timedelta(minutes=3000),
    "occurred_until": START + timedelta(minutes=4440),
}
INDEXED: list[dict[str, Any]] = [
    {"patient": "p1"},
    {"actor": "u7"},
    {"user": "u7"},
    {"device": "d1"},
    {"service": "service-1"},
    {"source": "service-1"},
    {"resource_type": "Observation"},
    {"resource_type": "Observation", "resource_id": "o1"},
    {"unnamed_resource_type": "Observation"},
    {"session": "s7"},
    {"correlation_id": "c7"},
    {"address": "10.0.0.7"},
    {"types": ("access.denied",)},
    {"types": ("access.denied", "user.logged_in")},
    {"categories": ("data",)},
    {"type_prefix": "access."},
    {"outcomes": ("major_failure",)},
    {"outcomes": ("major_failure", "minor_failure", "serious_failure")},
    {"emergency": True},
    DAY,
    {"position_from": 4000, "position_until": 5000},
    {"patient_in": ("p1", "p2")},
    {"actor_in": tuple(f"u{number}" for number in range(50))},
    {"user_in": ("u7", "u8")},
    {"device_in": ("d1", "d2")},
    {"service_in": ("service-1", "service-2")},
    {"session_in": ("s1", "s2")},
    {"correlation_id_in": tuple(f"c{number}" for number in range(100))},
    {"address_in": ("10.0.0.1", "10.0.0.2")},
    {"or_": (EventFilter(patient="p1"), EventFilter(actor="u7"), EventFilter(session="s3"))},
    {"or_": (EventFilter(patient="p1"), EventFilter(types=("access.denied",))), "device": "d1"},
    {"and_": (EventFilter(patient="p1"), EventFilter(patient="p2"))},
    {
        "or_": (
            EventFilter(**DAY),
            EventFilter(position_from=100, position_until=600),
            EventFilter(actor="u7"),
        )
    },
]
WITH_OTHERS: list[dict[str, Any]] = [
    {"types": ("record.read",)},
    {"service": "service-0"},
    {"actions": ("R",)},
    {"not_": EventFilter(patient_in=("p1", "p2"))},
    {"resource_type": "Observation"},
    DAY,
]
SCOPES: list[EventFilter] = [
    EventFilter(patient="p17"),
    EventFilter(actor="u1"),
    EventFilter(service_in=("service-1", "service-2")),
    EventFilter(categories=("device", "service")),
    EventFilter(or_=(EventFilter(patient="p17"), EventFilter(actor="u1"))),
    # A device manager's.
    EventFilter(
        or_=(
            EventFilter(categories=("device",)),
            EventFilter(types=("service.restarted", "configuration.changed")),
            EventFilter(device_in=("d1", "d2")),
        )
    ),
]
HELD: dict[str, dict[str, Any]] = {
    "actor_mark": {"user": "u7"},
    "type_mark": {"types": ("access.denied",)},
    "source_mark": {"service": "service-1"},
    "outcome": {"outcomes": ("major_failure",)},
    "resource_mark": {"resource_type": "Observation"},
    "named": {},
}
"""What indexes hold beside what they lead to, and a condition on it."""
LED: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"patient": "p1"}, ("actor_mark", "type_mark", "source_mark", "outcome", "resource_mark")),
    ({"device": "d1"}, ("actor_mark", "type_mark", "source_mark", "outcome", "resource_mark")),
    ({"user": "u7"}, ("type_mark", "source_mark", "outcome", "resource_mark")),
    ({"actor_in": ("u7", "u8")}, ("type_mark", "source_mark", "resource_mark")),
    ({"address": "10.0.0.7"}, ("type_mark", "source_mark", "resource_mark")),
    ({"service": "service-1"}, ("type_mark", "resource_mark")),
    ({"resource_type": "Observation"}, ("type_mark", "source_mark")),
    ({"unnamed_resource_type": "Observation"}, ("type_mark", "source_mark", "named")),
    ({"types": ("record.read",)}, ("source_mark",)),
    ({"outcomes": ("minor_failure", "major_failure")}, ("type_mark", "source_mark")),
]
"""A lead, and what its index holds."""
PAGES = (
    PageRequest(first=20),
    PageRequest(first=20, after=EVENTS // 2),
    PageRequest(last=20),
    PageRequest(last=20, before=EVENTS // 2),
    PageRequest(first=20, by_time=True, after=EVENTS // 2),
    PageRequest(last=20, by_time=True),
)
_TABLES = {table.name for projector in built_in() for table in projector.tables}
_WHOLE = re.compile(rf"Seq Scan on (event|{'|'.join(sorted(_TABLES))})\b")


class Explaining(psycopg2.extensions.cursor):
    """Has the plan of each statement told, before it is done."""

    plans: list[str] = []  # noqa: RUF012 - one list for all cursors of a test

    def execute(self, query: Any, vars: Any = None) -> None:
        if isinstance(query, str) and query.lstrip().upper().startswith(("SELECT", "--")):
            super().execute(f"EXPLAIN {query}", vars)
            self.plans.append("\n".join(row[0] for row in self.fetchall()))
        super().execute(query, vars)


@pytest.fixture
def explained(full: Trail) -> Iterator[psycopg2.extensions.connection]:
    """A connection in a snapshot; what it does must read no table whole."""
    Explaining.plans.clear()
    with full.reader.transaction(read_only=True) as connection:
        open_snapshot(connection)
        connection.cursor_factory = Explaining
        try:
            yield connection
        finally:
            connection.cursor_factory = psycopg2.extensions.cursor
    assert Explaining.plans
    assert [plan for plan in Explaining.plans if _WHOLE.search(plan)] == []


@pytest.mark.parametrize("asked", INDEXED, ids=repr)
def test_a_page_by_an_indexed_filter_reads_no_table_whole(
    explained: psycopg2.extensions.connection, asked: dict[str, Any]
) -> None:
    for page in PAGES:
        found = find_events(explained, plan(EventFilter(**asked)), page)
        assert found.as_of_position == EVENTS - 1


@pytest.mark.parametrize("other", WITH_OTHERS, ids=repr)
def test_nor_does_one_with_any_other_condition_beside(
    explained: psycopg2.extensions.connection, other: dict[str, Any]
) -> None:
    for asked in INDEXED:
        filter = EventFilter(and_=(EventFilter(**asked), EventFilter(**other)))
        find_events(explained, plan(filter), PageRequest(first=20))


@pytest.mark.parametrize("scope", SCOPES, ids=repr)
def test_nor_does_any_filter_within_a_scope(
    explained: psycopg2.extensions.connection, scope: EventFilter
) -> None:
    unled: list[dict[str, Any]] = [{}, {"actions": ("R",)}, {"not_": EventFilter(session="s1")}]
    for asked in unled + INDEXED:
        find_events(explained, plan(EventFilter(**asked), scope), PageRequest(first=20))


def test_nor_does_a_page_in_one_call_which_bounds_nothing(explained: psycopg2.extensions.connection) -> None:
    for asked in INDEXED:
        filter = EventFilter(**asked)
        if not can_be_one_call(plan(filter), PageRequest(first=20)):
            continue
        query = build(explained, plans(filter), MAX_POSITION, positions_alone=True)
        assert query is not None
        for newest_first in (True, False):
            statement, parameters = compose(query, None, None, newest_first=newest_first)
            with explained.cursor() as cursor:
                cursor.execute(statement, parameters | {"limit": 20})


def test_nor_does_the_summary_of_a_subject(explained: psycopg2.extensions.connection) -> None:
    assert find_patient(explained, "p1", 10, EVENTS - 1)
    between = Between(DAY["occurred_from"], DAY["occurred_until"])
    found_between = find_patient(explained, "p1", 10, EVENTS - 1, between=between)
    assert found_between
    assert found_between.accesses
    assert find_device(explained, "d0", 10, EVENTS - 1)
    assert find_resource(explained, "Observation", "o1", EVENTS - 1)
    found = find_user(explained, "u7", 3, EVENTS - 1)
    assert found
    assert [len(found.sessions), len(found.patients)] == [3, 3]
    # The latest come by an index: a user's sessions and patients may be a hundred thousand.
    lists = [plan for plan in Explaining.plans if "user_session" in plan or "patient_access" in plan][-2:]
    assert all("Presorted Key: last_day" in plan for plan in lists)


# Before 17, an index scan in order looks at the rows for a condition with several values.
@pytest.mark.needs_postgres(17)
@pytest.mark.parametrize(("led", "held"), [(led, held) for led, many in LED for held in many], ids=repr)
def test_no_event_is_looked_at_that_an_index_can_tell_does_not_match(
    full: Trail, led: dict[str, Any], held: str
) -> None:
    with full.reader.transaction(read_only=True) as connection, connection.cursor() as cursor:
        open_snapshot(connection)
        query = build(connection, plans(within(EventFilter(**led), EventFilter(**HELD[held]))), EVENTS - 1)
        assert query
        statement, parameters = compose(query, None, None, newest_first=True)
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters | {"limit": 1000})
        [([explanation],)] = cursor.fetchall()
    scans = [node for node in _nodes(explanation["Plan"]) if node["Node Type"] == "Index Scan"]
    assert scans
    assert [node for node in scans if node.get("Rows Removed by Filter")] == []


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for each in plan.get("Plans", ()):
        yield from _nodes(each)


def test_nor_do_a_count_and_a_history(explained: psycopg2.extensions.connection) -> None:
    # A count of a third of the trail rightly reads all of it.
    frequent = ({"resource_type": "Observation"}, {"categories": ("data",)}, {"types": ("access.denied",)})
    few = [each for each in INDEXED if each not in frequent and len(each.get("types", ())) < 2]
    for asked in few:
        if "type_prefix" not in asked and "or_" not in asked and "actor_in" not in asked:
            count_events(explained, plan(EventFilter(**asked), by=CountBy.TYPE), 10, EVENTS - 1)
    history = plan(EventFilter(resource_type="Observation", resource_id="o1"), EventFilter(patient="p1"))
    find_changes(explained, history, None, 10, None, EVENTS - 1)


def test_a_driving_condition_is_chosen_whatever_plans_the_server_makes(full: Trail) -> None:
    with full.reader.transaction(read_only=True) as connection, connection.cursor() as cursor:
        open_snapshot(connection)
        for name, value in {
            "max_parallel_workers_per_gather": "2",
            "parallel_setup_cost": "0",
            "parallel_tuple_cost": "0",
            "min_parallel_table_scan_size": "0",
            "min_parallel_index_scan_size": "0",
        }.items():
            cursor.execute("SELECT set_config(%s, %s, true)", (name, value))
        for asked in INDEXED:
            both = EventFilter(and_=(EventFilter(service="service-1"), EventFilter(**asked)))
            assert build(connection, plans(both), EVENTS - 1) is not None


def _resource(number: int) -> str:
    """Of a fifth of the resources, a person's name is the id."""
    return f"Doe, Jane {number}" if number % 5 == 0 else f"o{number % 70}"


def drivers(filter: EventFilter, **weights: float) -> list[str]:
    """The driving conditions when each finds so many events."""

    def estimate(found: Any) -> list[float]:
        return [weights[path.driver.attribute.name if path.driver else "walk"] for path in found]

    paths = choose(plans(filter), estimate)
    return [path.driver.attribute.name if path.driver else "" for path in paths]


def test_the_condition_that_finds_fewest_events_drives_the_search() -> None:
    asked = EventFilter(patient="p", types=("record.read",), service="s")
    assert drivers(asked, patient=40, type=5000, service=9000) == ["patient"]
    assert drivers(asked, patient=9000, type=5, service=8000) == ["type"]
    either = EventFilter(or_=(EventFilter(patient="p"), EventFilter(actor="a")), types=("record.read",))
    assert drivers(either, patient=4, actor=5, type=10) == ["patient", "actor"]
    assert drivers(either, patient=40, actor=50, type=10) == ["type"]


def test_a_filter_of_an_or_without_an_index_is_walked_within_its_range() -> None:
    walked = EventFilter(actions=("R",), position_from=10, position_until=20)
    either = EventFilter(or_=(walked, EventFilter(actor="a")), types=("record.read",))
    assert drivers(either, type=10, actor=5, walk=4) == ["", "actor"]
    assert drivers(either, type=10, actor=5, walk=40) == ["type"]
    assert drivers(EventFilter(or_=(EventFilter(actions=("R",)), EventFilter(actor="a")))) == [""]


def test_the_range_of_several_ranges_bounds_every_path(full: Trail) -> None:
    day = EventFilter(**DAY)
    two = EventFilter(or_=(EventFilter(and_=(day, EventFilter(actions=("R",)))), _positions(4600, 4700)))
    with full.reader.transaction(read_only=True) as connection:
        open_snapshot(connection)
        finder = BoundsFinder(connection, EVENTS - 1)
        of_day, of_both = (
            finder.of(AccessPath(None, (EventFilter(patient="p1"), each))) for each in (day, two)
        )
        paths = plan(two).plans[0]
        assert [finder.of(path) for path in paths] == [of_day, Bounds(4600, 4699)]
        either = EventFilter(or_=(_positions(100, 200), _positions(4600, 4700)))
        assert finder.of(AccessPath(None, (either,))) == Bounds(100, 4699)
    assert of_day is not None
    assert of_day.oldest > 2900
    # One of the two has no range of times, and the other none of positions.
    assert of_both == Bounds(0, EVENTS - 1)


def _positions(start: int, until: int) -> EventFilter:
    return EventFilter(position_from=start, position_until=until)


def test_a_scope_drives_the_search_when_it_finds_fewer_events_than_the_query() -> None:
    asked = within(EventFilter(types=("record.read",)), EventFilter(patient="own"))
    assert drivers(asked, patient=40, type=5000) == ["patient"]
    assert drivers(within(EventFilter(actor="a"), EventFilter(source="s")), actor=70, source=9) == ["source"]


def test_a_list_is_one_path_and_too_many_filters_of_an_or_are_walked() -> None:
    [[path]] = plans(EventFilter(patient_in=("p2", "p1")))
    assert path.driver is not None
    assert (path.driver.attribute.name, path.driver.values) == ("patient", ("p1", "p2"))
    [[walked]] = plans(EventFilter(or_=(EventFilter(patient="p"),) * (MAX_PATHS + 1)))
    assert walked.driver is None


@pytest.fixture(scope="module")
def full(databases: Databases) -> Iterator[Trail]:
    """A trail of some thousand events with statistics, which no test changes."""
    with databases.copy(PROJECTED) as url, closing(Trail(url)) as trail:
        kinds = ("record.read", "user.logged_in", "access.denied")
        trail.given(
            *(
                an_event(
                    kinds[number % 3],
                    number,
                    source={"service": f"service-{number % 8}"},
                    actor={"id": f"u{number % 50}"},
                    patients=[{"id": f"p{number % 90}"}],
                    device={"id": f"d{number % 60}"} if number % 4 == 0 else None,
                    resources=[{"type": "Observation", "id": _resource(number)}] if number % 3 == 0 else [],
                    session=f"s{number % 40}",
                    client={"address": f"10.0.0.{number % 45}"},
                    correlation_id=f"c{number}",
                    outcome="major_failure" if number % 97 == 0 else "success",
                    emergency=number % 101 == 0,
                )
                for number in range(EVENTS)
            )
        )
        with closing(psycopg2.connect(trail.url)) as connection:
            connection.autocommit = True
            connection.cursor().execute("VACUUM ANALYZE")
        yield trail
