"""A page by one call answers what a snapshot of several statements does, whatever becomes of the tables."""

from __future__ import annotations

from itertools import product

import psycopg2
import pytest

from domain.errors import LogInconsistentError
from projections.builds.switching import drop
from projections.models.activity import ActivityProjector
from projections.models.patient import PatientProjector
from projections.registry import live_schemas
from queries.filters.event_filter import EventFilter, EventPage, PageRequest
from queries.search.event_pages import find_events
from queries.search.page_call import can_be_one_call, find_in_one_call
from queries.search.prepared import plan
from tests.projections.rebuild.rebuilds import rebuild_now
from tests.queries.varied_events import FILTERS
from tests.trail import Trail, an_event

PAGES = [
    PageRequest(
        first=size if forward else None,
        last=None if forward else size,
        after=after,
        before=before,
        oldest_first=turned,
    )
    for size, forward, turned, after, before in product(
        (1, 3, 20), (True, False), (True, False), (None, 0, 4, 8), (None, 0, 5, 8)
    )
]


def in_one_call(trail: Trail, filter: EventFilter, page: PageRequest) -> EventPage | None:
    with trail.reader.transaction(read_only=True) as connection:
        schemas = live_schemas(connection)
    with trail.reader.snapshots() as connection:
        return find_in_one_call(connection, schemas, plan(filter), page)


def in_a_snapshot(trail: Trail, filter: EventFilter, page: PageRequest) -> EventPage:
    with trail.reader.transaction(read_only=True) as connection:
        return find_events(connection, plan(filter), page)


def test_every_page_of_every_filter_is_the_one_of_a_snapshot(varied: Trail, thorough: bool) -> None:
    """Without --thorough each filter has a quarter of the pages, and each page a quarter of the filters."""
    filters = [EventFilter(**asked) for asked, _ in FILTERS]
    plain = [filter for filter in filters if can_be_one_call(plan(filter), PageRequest(first=1))]
    assert len(plain) > 20
    for at, filter in enumerate(plain):
        for page in PAGES if thorough else PAGES[at % 4 :: 4]:
            found = in_one_call(varied, filter, page)
            assert found is None or found == in_a_snapshot(varied, filter, page), (filter, page)
    assert in_one_call(varied, EventFilter(patient="p1"), PAGES[0]) is not None


def test_a_filter_that_needs_a_look_at_the_database_first_is_not_for_one_call() -> None:
    page = PageRequest(first=1)
    assert can_be_one_call(plan(EventFilter(patient="p1", purposes=("TREAT",))), page)
    assert not can_be_one_call(plan(EventFilter(patient="p1", types=("record.read",))), page)
    assert not can_be_one_call(plan(EventFilter()), PageRequest(first=1, by_time=True))


def test_what_only_one_of_two_projections_has_is_not_shown_yet(varied: Trail) -> None:
    varied.append(an_event(patients=[{"id": "p1"}]))
    varied.project(PatientProjector())
    asked, page = EventFilter(patient="p1"), PageRequest(first=20)
    assert in_one_call(varied, asked, page) is None
    found = varied.events(asked, page)
    assert [each.position for each in found.events] == [6, 5, 1, 0]
    assert found.as_of_position == 8
    varied.project(ActivityProjector())
    assert varied.events(asked, page).events[0].position == 9


def test_another_build_is_read_as_soon_as_it_is_live_and_the_old_one_may_go(varied: Trail) -> None:
    asked, page = EventFilter(patient="p1"), PageRequest(first=20)
    varied.events(asked, page)
    before = varied.events(asked, page)
    rebuild_now(varied, "activity", "patient")
    varied.given(an_event(patients=[{"id": "p1"}]))
    assert varied.events(asked, page).events[1:] == before.events
    rebuild_now(varied, "activity")
    drop(varied.projector, "activity")
    assert varied.events(asked, page).events[1:] == before.events


def test_an_event_that_is_not_in_the_log_any_more_is_never_left_out_in_silence(varied: Trail) -> None:
    varied.events(EventFilter(), PageRequest(first=20))
    connection = psycopg2.connect(varied.url)
    with connection, connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")  # as whoever owns the server may
        cursor.execute("DELETE FROM audit_trail.event WHERE position = 5")
    connection.close()
    with pytest.raises(LogInconsistentError, match="position 5 is missing"):
        varied.events(EventFilter(), PageRequest(first=20))


def test_a_connection_that_read_in_one_call_is_a_reader_like_any_other_after(varied: Trail) -> None:
    with varied.reader.snapshots() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        first = cursor.fetchall()
    with varied.reader.transaction(read_only=True) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        assert cursor.fetchall() == first
        cursor.execute(
            "SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')"
        )
        assert cursor.fetchall() == [("repeatable read", "on")]
        cursor.execute("SELECT current_setting('search_path')")
        assert cursor.fetchall() == [("pg_catalog, pg_temp",)]
        assert not connection.autocommit
