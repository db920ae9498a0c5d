"""Counts that are sums of precomputed ones: exactly what the events themselves say, and as quick at any size."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import psycopg2.extensions
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.access.principal import Principal, Role
from domain.access.scope import Scope
from domain.errors import RejectedError
from domain.event import AuditEvent, RecordedEvent
from domain.read_audit.query_log import QueryLog
from event_store.event_reader import read_events
from projections.registry import open_snapshot
from queries.counts import count_events
from queries.filters.event_filter import CountBy, Distinct, EventFilter
from queries.filters.match import matches
from queries.scoped.read_models import ScopedModels
from queries.search.prepared import PreparedQuery, plan, prepare
from tests.databases import PROJECTED, Databases
from tests.projections.rebuild.rebuilds import ALL, assert_same, rebuild_now
from tests.queries.bucket_keys import key_of
from tests.trail import START, Trail, an_event

EVENTS = 500
MINUTES = 5 * 24 * 60
KINDS = tuple(by for by in CountBy if by is not CountBy.ACTOR)
SERVICES = ("patient-service", "portal", "laboratory")
TYPES = ("record.read", "record.deleted", "user.logged_in", "user.login_failed", "api.called")


def some_event(chance: random.Random) -> AuditEvent:
    # A third is within an hour that begins a day, some at the very beginning of an hour.
    minute = chance.choice(
        [chance.uniform(0, MINUTES), 16 * 60 + chance.randrange(60), chance.randrange(99) * 60]
    )
    return an_event(
        chance.choice(TYPES),
        minute,
        source={"service": chance.choice(SERVICES)},
        actor={"id": f"a{chance.randrange(4)}", "kind": chance.choice(["user", "service", "patient"])},
        outcome=chance.choice(["success", "success", "minor_failure", "major_failure"]),
        action=chance.choice([None, "R", "U"]),
        patients=[{"id": f"p{chance.randrange(5)}"}],
        emergency=chance.random() < 0.1,
    )


Counted = tuple[Trail, list[RecordedEvent]]


@pytest.fixture(scope="module")
def counted(databases: Databases) -> Iterator[Counted]:
    """A trail that no test changes, and its events. It was projected in batches that cut through hours."""
    with databases.copy(PROJECTED) as url, closing(Trail(url)) as trail:
        events = fill(trail)
        with closing(psycopg2.connect(url)) as connection:
            connection.autocommit = True
            connection.cursor().execute("VACUUM ANALYZE")
        yield trail, events


def fill(trail: Trail) -> list[RecordedEvent]:
    chance = random.Random(17)
    for batch in (7, 64):
        trail.append(*(some_event(chance) for _ in range(EVENTS // 2)))
        trail.project(batch=batch)
    with trail.reader.transaction(read_only=True) as connection:
        return read_events(connection, -1, EVENTS).events


def filter_of(**conditions: Any) -> EventFilter:
    return EventFilter(**conditions)


def few(*values: str) -> st.SearchStrategy[tuple[str, ...]]:
    return st.sets(st.sampled_from(values), min_size=1, max_size=2).map(lambda found: tuple(sorted(found)))


CONDITIONS = st.fixed_dictionaries(
    {},
    optional={
        "types": few(*TYPES),
        "type_prefix": st.sampled_from(["record.", "user.log", "nothing."]),
        "categories": few("data", "user", "service"),
        "service": st.sampled_from(SERVICES),
        "service_in": few(*SERVICES, "nobody"),
        "source": st.sampled_from(SERVICES),
        "actions": few("R", "U", "E", "D"),
        "outcomes": few("success", "minor_failure", "major_failure"),
        "actor_kinds": few("user", "service", "patient", "device"),
    },
).map(lambda given: filter_of(**given))
NESTED = st.builds(
    lambda own, either, both, no: replace(
        own,
        or_=tuple(each for each in either if each.given()),
        and_=tuple(each for each in both if each.given()),
        not_=no if no is not None and no.given() else None,
    ),
    CONDITIONS,
    st.lists(CONDITIONS, max_size=2),
    st.lists(CONDITIONS, max_size=1),
    st.none() | CONDITIONS,
)
MOMENTS = st.one_of(
    st.none(),
    st.integers(-26, MINUTES // 60 + 26).map(lambda hours: START + timedelta(hours=hours)),
    st.integers(0, 5).map(lambda days: START.replace(hour=0) + timedelta(days=days)),
    st.floats(-90, MINUTES + 90).map(lambda minutes: START + timedelta(minutes=minutes)),
    st.sampled_from([datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, tzinfo=UTC)]),
)


def expected(events: list[RecordedEvent], query: PreparedQuery) -> dict[str | None, int]:
    assert query.by is not None
    return dict(Counter(key_of(query.by, each) for each in events if matches(query.combined, each)))


def found_by(trail: Trail, query: PreparedQuery) -> dict[str | None, int]:
    found = trail.read.event_counts(query, 1000)
    assert found.as_of_position == EVENTS - 1
    assert found.bucket_count == len(found.buckets)
    assert found.events == sum(each.events for each in found.buckets)
    by_time = query.by in {CountBy.HOUR, CountBy.DAY}
    order = [str(each.key) if by_time else each.events for each in found.buckets]
    assert order == sorted(order, reverse=True)
    return {each.key: each.events for each in found.buckets}


@for_all(
    filter=NESTED,
    scope=st.none() | CONDITIONS,
    range=st.tuples(MOMENTS, MOMENTS),
    inner=st.tuples(MOMENTS, MOMENTS),
    by=st.sampled_from(KINDS),
)
def test_a_precomputed_count_is_that_of_the_events(
    counted: Counted,
    filter: EventFilter,
    scope: EventFilter | None,
    range: tuple[datetime | None, datetime | None],
    inner: tuple[datetime | None, datetime | None],
    by: CountBy,
) -> None:
    trail, events = counted
    ranges = [EventFilter(occurred_from=each[0], occurred_until=each[1]) for each in (range, inner)]
    query = plan(EventFilter(and_=(filter, *ranges)), scope, by)
    start = max((each.occurred_from for each in ranges if each.occurred_from), default=None)
    until = min((each.occurred_until for each in ranges if each.occurred_until), default=None)
    if start is None or until is None or until - start >= timedelta(hours=2):
        assert query.precomputed is not None
    if query.precomputed is not None or query.is_bounded:
        assert found_by(trail, query) == expected(events, query)


@pytest.mark.parametrize("by", KINDS)
def test_days_hours_and_parts_of_hours_add_up(counted: Counted, by: CountBy) -> None:
    trail, events = counted
    for start, until in ((30.25, MINUTES - 75.5), (16 * 60, 64 * 60), (1, 122), (59, 61), (100, 110), (7, 7)):
        moments = [START + timedelta(minutes=minute) for minute in (start, until)]
        query = plan(EventFilter(occurred_from=moments[0], occurred_until=moments[1]), by=by)
        spans = query.precomputed
        if spans is not None and until - start > 48 * 60 and by is not CountBy.HOUR:
            assert (len(spans.days), len(spans.hours), len(spans.edges)) == (1, 2, 2)
        assert found_by(trail, query) == expected(events, query)


def test_a_precomputed_count_is_the_same_after_a_rebuild(trail: Trail) -> None:
    events = fill(trail)
    assert [each.failure for each in rebuild_now(trail, width=90).outcomes] == [""] * len(ALL)
    assert_same(trail)
    for by in KINDS:
        query = plan(EventFilter(occurred_from=START + timedelta(minutes=90), categories=("data",)), by=by)
        assert query.precomputed is not None
        assert found_by(trail, query) == expected(events, query)


PRECOMPUTED: list[dict[str, Any]] = [
    {},
    {"occurred_from": START, "occurred_until": START + timedelta(hours=70)},
    {"types": ("record.read",)},
    {"categories": ("data", "user")},
    {"type_prefix": "record."},
    {"service": "portal", "outcomes": ("minor_failure", "major_failure")},
    {"actor_kinds": ("user",), "actions": ("R",)},
    {"not_": EventFilter(types=("api.called",)), "occurred_until": START + timedelta(hours=30)},
    {"or_": (EventFilter(source="portal"), EventFilter(outcomes=("success",)))},
]


@pytest.mark.parametrize("by", KINDS)
@pytest.mark.parametrize("filter", PRECOMPUTED, ids=repr)
def test_a_precomputed_count_of_whole_hours_reads_no_events(
    counted: Counted, filter: dict[str, Any], by: CountBy
) -> None:
    assert "activity" not in tables_read(counted[0], plan(EventFilter(**filter), by=by))


def test_a_part_of_an_hour_reads_the_events_of_that_hour_alone(counted: Counted) -> None:
    range: dict[str, Any] = {
        "occurred_from": START + timedelta(minutes=5),
        "occurred_until": START + timedelta(days=3),
    }
    query = plan(EventFilter(**range), by=CountBy.TYPE)
    assert {"activity", "activity_count_hour", "activity_count_day"} <= tables_read(counted[0], query)
    assert query.precomputed is not None
    [edge] = query.precomputed.edges
    assert (edge.start, edge.until) == (range["occurred_from"], START + timedelta(hours=1))


COUNTED_ONE_BY_ONE: list[tuple[dict[str, Any], CountBy]] = [
    ({"actor": "a1"}, CountBy.TYPE),
    ({"user": "a1"}, CountBy.TYPE),
    ({"patient": "p1"}, CountBy.SERVICE),
    ({"emergency": True}, CountBy.OUTCOME),
    ({"position_from": 5}, CountBy.HOUR),
    ({"weekdays": ("monday",), "occurred_from": START}, CountBy.TYPE),
    ({"purposes": ("TREAT",), "occurred_from": START}, CountBy.DAY),
    ({"occurred_from": START}, CountBy.ACTOR),
    ({"not_": EventFilter(actor="a1"), "occurred_from": START}, CountBy.TYPE),
    ({"not_": EventFilter(occurred_until=START), "service": "portal"}, CountBy.TYPE),
    ({"or_": (EventFilter(occurred_from=START), EventFilter(service="portal"))}, CountBy.TYPE),
    (
        {"occurred_from": START + timedelta(minutes=1), "occurred_until": START + timedelta(minutes=100)},
        CountBy.TYPE,
    ),
]


@pytest.mark.parametrize(("filter", "by"), COUNTED_ONE_BY_ONE, ids=repr)
def test_any_other_count_reads_events(counted: Counted, filter: dict[str, Any], by: CountBy) -> None:
    trail, events = counted
    query = plan(EventFilter(**filter), by=by)
    assert query.precomputed is None
    assert tables_read(trail, query) & {"activity_count_day", "activity_count_hour"} == set()
    assert {each.key: each.events for each in count_of(trail, query)} == expected(events, query)


def test_different_patients_are_counted_from_events(counted: Counted) -> None:
    query = prepare(EventFilter(service="portal"), by=CountBy.TYPE, distinct=(Distinct.PATIENTS,))
    assert query.precomputed is None
    assert counted[0].read.event_counts(query, 10).patients == 5


def test_a_precomputed_count_may_span_any_time_and_any_other_is_limited() -> None:
    now = START + timedelta(days=400)
    year: dict[str, Any] = {"occurred_from": START + timedelta(seconds=1), "actions": ("D",)}
    prepare(EventFilter(**year), by=CountBy.TYPE, max_days=31, now=now)
    prepare(EventFilter(), by=CountBy.OUTCOME, max_days=31, now=now)
    others: list[tuple[CountBy, tuple[Distinct, ...], dict[str, Any]]] = [
        (CountBy.ACTOR, (), {}),
        (CountBy.TYPE, (Distinct.ACTORS,), {}),
        (CountBy.TYPE, (), {"purposes": ("TREAT",)}),
    ]
    for by, distinct, more in others:
        with pytest.raises(RejectedError):
            prepare(EventFilter(**year, **more), by=by, distinct=distinct, max_days=31, now=now)


@pytest.mark.parametrize(
    ("principal", "precomputed"),
    [
        (Principal(id="x", roles=frozenset({Role.AUDITOR})), True),
        (Principal(id="x", roles=frozenset({Role.ANALYST})), True),
        (Principal(id="x", roles=frozenset({Role.SERVICE_OWNER}), sources=("portal", "laboratory")), True),
        (Principal(id="x", roles=frozenset({Role.CLINICIAN}), actors=("a1",)), False),
        (Principal(id="x", roles=frozenset({Role.PATIENT}), patients=("p1",)), False),
        (Principal(id="x", roles=frozenset({Role.DEVICE_MANAGER}), devices=("d1",)), False),
        (
            Principal(
                id="x",
                roles=frozenset({Role.SERVICE_OWNER, Role.CLINICIAN}),
                sources=("portal",),
                actors=("a1",),
            ),
            False,
        ),
    ],
    ids=lambda value: "-".join(sorted(value.roles)) if isinstance(value, Principal) else "",
)
def test_a_count_is_precomputed_within_a_scope_of_services(
    counted: Counted, principal: Principal, precomputed: bool
) -> None:
    trail, events = counted
    scope = Scope(principal)
    models = ScopedModels(trail.read, scope, QueryLog())
    for by in KINDS:
        filter = EventFilter(occurred_from=START + timedelta(minutes=3), outcomes=("success",))
        query = models.prepare(filter, by)
        assert (query.precomputed is not None) is precomputed
        admitted = [each for each in events if scope.admits(each.event) and matches(filter, each)]
        found = {each.key: each.events for each in models.event_counts(query, 1000).buckets}
        assert found == dict(Counter(key_of(by, each) for each in admitted))


class _Explaining(psycopg2.extensions.cursor):
    """Keeps the plan of each statement."""

    plans: list[str] = []  # noqa: RUF012 - one list for all cursors of a test

    def execute(self, query: Any, vars: Any = None) -> None:
        if query.lstrip().startswith(("SELECT", "--")):
            super().execute(f"EXPLAIN {query}", vars)
            self.plans.append("\n".join(row[0] for row in self.fetchall()))
        super().execute(query, vars)


def tables_read(trail: Trail, query: PreparedQuery) -> set[str]:
    """The tables of the read model that the plans of a count name."""
    _Explaining.plans.clear()
    count_of(trail, query, _Explaining)
    return {name for plan in _Explaining.plans for name in re.findall(r"Scan.* on (activity\w*)", plan)}


def count_of(
    trail: Trail, query: PreparedQuery, cursors: type[psycopg2.extensions.cursor] = psycopg2.extensions.cursor
) -> Any:
    with trail.reader.transaction(read_only=True) as connection:
        as_of = query.complete_up_to(open_snapshot(connection))
        connection.cursor_factory = cursors
        try:
            return count_events(connection, query, 1000, as_of).buckets
        finally:
            connection.cursor_factory = psycopg2.extensions.cursor
