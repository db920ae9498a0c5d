"""Counts that are sums of precomputed ones: exactly what the events themselves say, and as quick at any size."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg2
import psycopg2.extensions
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.access.grants import Operation
from domain.access.principal import Principal, Role
from domain.access.scope import Scope
from domain.catalogue import GENERIC_TYPE
from domain.errors import ConflictError, RejectedError
from domain.event import AuditEvent, RecordedEvent
from domain.read_audit.query_log import QueryLog
from event_store.event_reader import read_events
from projections.models.activity import ActivityProjector
from projections.models.patient import PatientProjector
from projections.projector import schema_name
from projections.registry import open_snapshot
from queries.counts import count_events
from queries.filters.event_filter import CountBy, Distinct, EventFilter
from queries.filters.match import matches
from queries.scoped.query_description import scope_filter
from queries.scoped.read_models import ScopedModels
from queries.search.prepared import PreparedQuery, plan, prepare
from tests.databases import PROJECTED, Databases
from tests.projections.rebuild.rebuilds import ALL, assert_same, rebuild_now
from tests.queries.bucket_keys import keys_of
from tests.trail import START, Trail, an_event

EVENTS = 500
MINUTES = 5 * 24 * 60
TIMES = (CountBy.HOUR, CountBy.DAY)
KINDS = tuple(by for by in CountBy if by not in {CountBy.ACTOR, CountBy.PATIENT})
ROLLUPS = {"activity_count_day", "activity_count_hour"}
SERVICES = ("patient-service", "portal", "laboratory")
TYPES = (
    "record.read",
    "record.deleted",
    "user.logged_in",
    "user.login_failed",
    "api.called",
    "device.connected",
    "service.started",
    GENERIC_TYPE,
)


def some_event(chance: random.Random) -> AuditEvent:
    # A third is within an hour that begins a day, some at the very beginning of an hour.
    minute = chance.choice(
        [chance.uniform(0, MINUTES), 16 * 60 + chance.randrange(60), chance.randrange(99) * 60]
    )
    return an_event(
        chance.choice(TYPES),
        minute,
        source={"service": chance.choice(SERVICES)},
        actor=chance.choice(
            [
                {"id": f"a{chance.randrange(4)}", "kind": chance.choice(["user", "service", "patient"])},
                {"id": "d1", "kind": "device"},
                {"kind": "unknown"},
            ]
        ),
        device=chance.choice([None, None, {"id": f"d{chance.randrange(3)}"}]),
        client=chance.choice([None, {"address": f"10.0.0.{chance.randrange(3)}"}]),
        outcome=chance.choice(["success", "success", "minor_failure", "major_failure"]),
        action=chance.choice([None, "R", "U"]),
        patients=[{"id": f"p{chance.randrange(5)}"} for _ in range(chance.choice([0, 1, 1, 2]))],
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
        events = [some_event(chance) for _ in range(EVENTS // 2)]
        trail.append(*events)
        assert trail.append(*events[::5]) == []  # delivered twice
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
    return counter_of(query.by, (each for each in events if matches(query.combined, each)))


def counter_of(by: CountBy, events: Iterable[RecordedEvent]) -> dict[str | None, int]:
    return dict(Counter(key for each in events for key in keys_of(by, each)))


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


PERSONS = st.fixed_dictionaries(
    {},
    optional={
        "actor": st.sampled_from(["a0", "a1", "d1", "nobody"]),
        "actor_in": few("a1", "a2", "d1"),
        "actor_prefix": st.sampled_from(["a", "d", "a3"]),
        "user": st.sampled_from(["a0", "a1"]),
        "user_in": few("a1", "a2", "d1"),
        "patient": st.sampled_from(["p0", "p1", "nobody"]),
        "device": st.sampled_from(["d0", "d1", "nothing"]),
        "patient_in": few("p0", "p1", "p2"),
        "service": st.sampled_from(SERVICES),
        "actor_kinds": few("user", "patient", "device", "unknown"),
        "outcomes": few("success", "minor_failure", "major_failure"),
        "address": st.sampled_from(["10.0.0.0", "10.0.0.1", "10.9.9.9"]),
        "address_in": few("10.0.0.0", "10.0.0.1"),
    },
).map(lambda given: filter_of(**given))
FEW_PERSONS = st.one_of(
    st.just(EventFilter()),
    st.sampled_from(["p0", "p1"]).map(lambda patient: filter_of(patient=patient)),
    st.sampled_from(["a0", "a1"]).map(lambda actor: filter_of(actor=actor)),
    st.sampled_from(["d0", "d1"]).map(lambda device: filter_of(device=device)),
    PERSONS,
)
SCOPES = st.sampled_from([
    Principal(id="x", roles=frozenset({Role.AUDITOR})),
    Principal(id="x", roles=frozenset({Role.SERVICE_OWNER}), sources=("portal",)),
    Principal(id="x", roles=frozenset({Role.CLINICIAN}), actors=("a1", "a2")),
    Principal(id="x", roles=frozenset({Role.PATIENT}), patients=("p1",)),
    Principal(id="x", roles=frozenset({Role.PATIENT}), patients=("p1", "p2")),
    Principal(id="x", roles=frozenset({Role.DEVICE_MANAGER}), devices=("d1", "d2")),
    Principal(id="x", roles=frozenset({Role.DEVICE_MANAGER})),
    Principal(
        id="x", roles=frozenset({Role.SERVICE_OWNER, Role.CLINICIAN}), sources=("portal",), actors=("a1",)
    ),
])  # fmt: skip
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia", "Asia/Kathmandu"])
LOCAL_DAYS = st.builds(
    lambda zone, day: datetime(2026, 3, 1, tzinfo=ZoneInfo(zone)) + timedelta(days=day),
    ZONES,
    st.integers(0, 7),
)


@for_all(
    filter=st.one_of(
        FEW_PERSONS,
        st.builds(
            lambda either, no: filter_of(or_=tuple(either), not_=no), st.lists(PERSONS, max_size=2), PERSONS
        ),
    ),
    principal=SCOPES,
    range=st.tuples(MOMENTS | LOCAL_DAYS, MOMENTS | LOCAL_DAYS),
    by=st.sampled_from(CountBy),
)
def test_a_count_of_persons_and_within_any_scope_is_that_of_the_events(
    counted: Counted,
    filter: EventFilter,
    principal: Principal,
    range: tuple[datetime | None, datetime | None],
    by: CountBy,
) -> None:
    trail, events = counted
    scope = scope_filter(Scope(principal).rows(Operation.COUNT_EVENTS))
    query = plan(
        EventFilter(and_=(filter, EventFilter(occurred_from=range[0], occurred_until=range[1]))), scope, by
    )
    if query.precomputed is not None or query.is_bounded:
        assert found_by(trail, query) == expected(events, query)


SINGLE = st.sampled_from([
    EventFilter(patient="p0"),
    EventFilter(device="d0"),
    EventFilter(actor="a0"),
    EventFilter(actor_in=("a1", "d1"), service="portal"),
    EventFilter(user="a1", not_=EventFilter(outcomes=("success",))),
    EventFilter(address="10.0.0.1"),
    EventFilter(address_in=("10.0.0.0", "10.0.0.2"), actor="a1"),
])  # fmt: skip


@for_all(
    filter=SINGLE,
    range=st.tuples(MOMENTS | LOCAL_DAYS, MOMENTS | LOCAL_DAYS),
    by=st.sampled_from([CountBy.HOUR, CountBy.DAY, CountBy.SERVICE, CountBy.ACTOR]),
)
def test_a_count_of_one_actor_patient_or_device_is_that_of_the_events(
    counted: Counted, filter: EventFilter, range: tuple[datetime | None, datetime | None], by: CountBy
) -> None:
    trail, events = counted
    query = plan(replace(filter, occurred_from=range[0], occurred_until=range[1]), by=by)
    assert found_by(trail, query) == expected(events, query)


@pytest.mark.parametrize("hours", [0, 1, 23, 24, 25, 48])
def test_days_begin_at_midnight_in_utc_where_clocks_change(trail: Trail, hours: int) -> None:
    """The clocks of Berlin and of St John's change in March: their days have 23 hours, and half hours begin them."""
    changes = datetime(2026, 3, 29, tzinfo=UTC)
    trail.given(
        *(
            an_event(occurred_at=(changes + timedelta(minutes=minute)).isoformat(), patients=[{"id": "p1"}])
            for minute in (-1, 0, 1, 59, 60, 1379, 1380, 1439, 1440, 1441, 2880)
        )
    )
    with trail.reader.transaction(read_only=True) as connection:
        events = read_events(connection, -1, 100).events
    for zone in ("Europe/Berlin", "America/St_Johns"):
        start = datetime(2026, 3, 29, tzinfo=ZoneInfo(zone)).astimezone(UTC)
        range = EventFilter(occurred_from=start, occurred_until=start + timedelta(hours=hours))
        for by in CountBy:
            for filter in (range, replace(range, actor="dr-smith"), replace(range, patient="p1")):
                query = plan(filter, by=by)
                assert {each.key: each.events for each in count_of(trail, query)} == expected(events, query)


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
    since = START + timedelta(minutes=90)
    for by in KINDS:
        query = plan(EventFilter(occurred_from=since, categories=("data",)), by=by)
        assert query.precomputed is not None
        assert found_by(trail, query) == expected(events, query)
    for filter in (EventFilter(actor="a1"), EventFilter(address="10.0.0.1"), EventFilter(patient="p1")):
        query = plan(replace(filter, occurred_from=since), by=CountBy.DAY)
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


OF_ONE: list[tuple[dict[str, Any], CountBy, str]] = [
    ({"actor": "a1"}, CountBy.DAY, "activity_by_actor_id"),
    ({"actor_in": ("a1", "a2", "d1")}, CountBy.HOUR, "activity_by_actor_id"),
    ({"user": "a1", "outcomes": ("success",)}, CountBy.DAY, "activity_by_actor_id"),
    ({"actor": "a1", "not_": EventFilter(outcomes=("success",))}, CountBy.DAY, "activity_by_actor_id"),
    ({"address": "10.0.0.1"}, CountBy.DAY, "activity_by_address"),
    ({"patient": "p1"}, CountBy.DAY, "patient_timeline_pkey"),
    ({"patient": "p1"}, CountBy.HOUR, "patient_timeline_pkey"),
    ({"device": "d1"}, CountBy.HOUR, "device_timeline_pkey"),
]


@pytest.mark.parametrize(("filter", "by", "index"), OF_ONE, ids=repr)
def test_the_hours_of_one_actor_address_patient_or_device_are_counted_in_an_index_alone(
    counted: Counted, filter: dict[str, Any], by: CountBy, index: str
) -> None:
    trail, events = counted
    start = START.replace(hour=0)
    whole: dict[str, Any] = {"occurred_from": start, "occurred_until": start + timedelta(days=4)}
    query = plan(EventFilter(**filter, **whole), by=by)
    bounds = {"Index Scan using activity_hour_pkey"}
    assert scans_of(trail, query) - bounds == {f"Index Only Scan using {index}"}
    assert found_by(trail, query) == expected(events, query)
    longer = plan(EventFilter(**filter, occurred_from=START + timedelta(minutes=90)), by=by)
    assert len(scans_of(trail, longer) - bounds) > 1
    assert found_by(trail, longer) == expected(events, longer)


def test_a_scope_of_devices_counts_only_what_the_devices_add_from_events(counted: Counted) -> None:
    trail, _ = counted
    scope = Scope(Principal(id="x", roles=frozenset({Role.DEVICE_MANAGER}), devices=("d1",)))
    query = ScopedModels(trail.read, scope, QueryLog()).prepare(EventFilter(), CountBy.TYPE)
    assert query.precomputed is not None
    assert query.precomputed.rest is not None
    assert {"activity_hour", "activity_count_day"} & tables_read(trail, query)


def test_roll_ups_ahead_of_another_projection_are_not_added_to_its_events(trail: Trail) -> None:
    """The count is complete up to one position: that of the projection which is behind."""
    trail.given(*(an_event(minute=60 * at, patients=[{"id": "p1"}]) for at in range(30)))
    trail.append(*(an_event(minute=60 * at, patients=[{"id": "p1"}]) for at in range(30, 60)))
    trail.project(ActivityProjector())
    either = EventFilter(or_=(EventFilter(types=("record.read",)), EventFilter(patient="p1")))
    queries = [plan(filter, by=CountBy.DAY) for filter in (either, EventFilter(patient="p1"))]
    for complete in (29, 59):
        for query in queries:
            assert query.precomputed is not None
            found = trail.read.event_counts(query, 10)
            assert (found.as_of_position, found.events) == (complete, complete + 1)
        trail.project()


def test_before_the_rebuild_after_an_upgrade_counts_come_from_events_or_say_what_to_do(trail: Trail) -> None:
    trail.given(*(an_event(minute=60 * at, patients=[{"id": "p1"}]) for at in range(60)))
    with closing(psycopg2.connect(trail.url)) as connection, connection, connection.cursor() as cursor:
        for table in ROLLUPS:
            cursor.execute(f"DROP TABLE {schema_name(ActivityProjector())}.{table}")
        timeline = f"{schema_name(PatientProjector())}.patient_timeline"
        cursor.execute(f"ALTER TABLE {timeline} DROP COLUMN hour CASCADE")
    bounded: list[tuple[dict[str, Any], CountBy]] = [
        ({"occurred_from": START}, CountBy.TYPE),
        ({"actor": "dr-smith"}, CountBy.DAY),
        ({"patient": "p1"}, CountBy.DAY),
        ({"service": "patient-service"}, CountBy.OUTCOME),
    ]
    for filter, by in bounded:
        query = plan(EventFilter(**filter), by=by)
        assert query.precomputed is not None
        assert trail.read.event_counts(query, 10).events == 60
    with pytest.raises(ConflictError, match="audit-trail projections rebuild activity"):
        trail.read.event_counts(plan(EventFilter(), by=CountBy.TYPE), 10)


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
    ({"patient_in": ("p1", "p2")}, CountBy.DAY),
    ({"patient": "p1", "service": "portal"}, CountBy.DAY),
    ({"not_": EventFilter(patient="p1"), "occurred_from": START}, CountBy.DAY),
    ({"patient": "p1"}, CountBy.PATIENT),
    ({"occurred_from": START}, CountBy.ACTOR),
    ({"occurred_from": START}, CountBy.PATIENT),
    ({"not_": EventFilter(actor="a1"), "occurred_from": START}, CountBy.SERVICE),
    ({"service": "portal"}, CountBy.PATIENT),
    ({"actor": "a1", "service": "portal", "occurred_until": START}, CountBy.HOUR),
    ({"actor": "a1"}, CountBy.SERVICE),
    ({"emergency": True}, CountBy.OUTCOME),
    ({"position_from": 5}, CountBy.HOUR),
    ({"weekdays": ("monday",), "occurred_from": START}, CountBy.TYPE),
    ({"purposes": ("TREAT",), "occurred_from": START}, CountBy.DAY),
    ({"occurred_from": START, "outcomes": ("success",)}, CountBy.ACTOR),
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
    assert tables_read(trail, query) & ROLLUPS == set()
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
        (CountBy.PATIENT, (), {}),
        (CountBy.TYPE, (Distinct.ACTORS,), {}),
        (CountBy.TYPE, (), {"purposes": ("TREAT",)}),
    ]
    for by, distinct, more in others:
        with pytest.raises(RejectedError):
            prepare(EventFilter(**year, **more), by=by, distinct=distinct, max_days=31, now=now)


@pytest.mark.parametrize(
    ("principal", "precomputed"),
    [
        (Principal(id="x", roles=frozenset({Role.AUDITOR})), KINDS),
        (Principal(id="x", roles=frozenset({Role.ANALYST})), KINDS),
        (Principal(id="x", roles=frozenset({Role.SERVICE_OWNER}), sources=("portal", "laboratory")), KINDS),
        (Principal(id="x", roles=frozenset({Role.CLINICIAN}), actors=("a1",)), TIMES),
        (Principal(id="x", roles=frozenset({Role.PATIENT}), patients=("p1",)), ()),
        (Principal(id="x", roles=frozenset({Role.DEVICE_MANAGER}), devices=("d1",)), KINDS),
        (
            Principal(
                id="x",
                roles=frozenset({Role.SERVICE_OWNER, Role.CLINICIAN}),
                sources=("portal",),
                actors=("a1",),
            ),
            KINDS,
        ),
    ],
    ids=lambda value: "-".join(sorted(value.roles)) if isinstance(value, Principal) else "",
)
def test_a_count_is_precomputed_as_far_as_the_scope_is_of_services_and_types(
    counted: Counted, principal: Principal, precomputed: Collection[CountBy]
) -> None:
    trail, events = counted
    scope = Scope(principal)
    models = ScopedModels(trail.read, scope, QueryLog())
    for by in KINDS:
        filter = EventFilter(occurred_from=START + timedelta(minutes=3), outcomes=("success",))
        query = models.prepare(filter, by)
        assert (query.precomputed is not None) is (by in precomputed)
        admitted = [each for each in events if scope.admits(each.event) and matches(filter, each)]
        found = {each.key: each.events for each in models.event_counts(query, 1000).buckets}
        assert found == counter_of(by, admitted)


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
    return {
        name
        for plan in _Explaining.plans
        for name in re.findall(r"Scan.* on ((?:activity|patient|device)\w*)", plan)
    }


def scans_of(trail: Trail, query: PreparedQuery) -> set[str]:
    """How the plans of a count read the read models: `Index Only Scan using activity_by_address`."""
    _Explaining.plans.clear()
    count_of(trail, query, _Explaining)
    return {
        found.partition(" on ")[0] if " using " in found else found
        for plan in _Explaining.plans
        for found in re.findall(r"(\w[\w ]* Scan(?: using \w+)? on (?:activity|patient|device)\w*)", plan)
    }


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
