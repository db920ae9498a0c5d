"""The read models of the reader of a shared link: whatever is asked of them, they hold what the link shows alone."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from domain.access.principal import LinkUse, Principal, Role
from domain.access.scope import Scope
from domain.errors import AccessDeniedError
from domain.read_audit.query_log import QueryLog
from queries.export.request import ExportRequest, Format
from queries.filters.event_filter import CountBy, EventFilter, PageRequest
from queries.live_tables.pages import RowRequest
from queries.scoped.export import ScopedExport
from queries.scoped.read_models import ScopedModels
from tests.trail import START, Trail, an_event

READER = Scope(
    Principal(id="link:5e", roles=frozenset({Role.AUDITOR, Role.ADMIN}), link=LinkUse("5e", "ada"))
)
PAGE = PageRequest(first=10)
ALL = EventFilter()


@pytest.fixture
def ids(trail: Trail) -> list[UUID]:
    """Three events of patient 17, of patient 18, and of both of them."""
    changed = {
        "resources": [{"type": "Patient", "id": "17"}],
        "changes": [{"path": "phone", "before": "1", "after": "2"}],
    }
    events = [
        an_event("record.updated", 1, patients=[{"id": id} for id in patients], **changed)
        for patients in (["17"], ["18"], ["17", "18"])
    ]
    trail.given(*events)
    return [each.event_id for each in events]


def reader(trail: Trail, only: EventFilter) -> ScopedModels:
    return ScopedModels(trail.read, READER, QueryLog(), only)


def test_without_a_limit_there_are_no_read_models(trail: Trail) -> None:
    with pytest.raises(AccessDeniedError):
        ScopedModels(trail.read, READER, QueryLog())


@pytest.mark.parametrize("shown", [0, 1, 2])
def test_a_link_to_one_event_shows_no_other(trail: Trail, ids: list[UUID], shown: int) -> None:
    models = reader(trail, EventFilter(position_from=shown, position_until=shown + 1))
    for at, id in enumerate(ids):
        assert (models.event(id) is not None) is (at == shown)
        assert (models.stored_body(id) is not None) is (at == shown)
    for filter in (
        ALL,
        EventFilter(position_from=0),
        EventFilter(or_=(EventFilter(patient="18"), EventFilter(patient="17"))),
        EventFilter(not_=EventFilter(patient="99")),
    ):
        for page in (
            PAGE,
            PageRequest(last=10),
            PageRequest(first=10, by_time=True),
            PageRequest(first=10, after=10),
        ):
            found = models.events(models.prepare(filter), page)
            assert [each.position for each in found.events] == [shown]
            assert not found.has_next
            assert not found.has_previous
        assert models.event_counts(models.prepare(filter, CountBy.TYPE)).events == 1
    assert [each.position for each in models.resource_changes("Patient", "17", None, 10).changes] == [shown]


def test_a_link_to_a_list_shows_its_filter_within_its_range(trail: Trail, ids: list[UUID]) -> None:
    begin, end = START - timedelta(hours=1), START + timedelta(hours=1)
    only = EventFilter(patient="17", occurred_from=begin, occurred_until=end)
    models = reader(trail, only)
    for filter in (only, ALL, EventFilter(patient="17"), EventFilter(occurred_from=begin)):
        found = models.events(models.prepare(filter), PAGE)
        assert [each.event.event_id for each in found.events] == [ids[2], ids[0]]
        for by in (CountBy.HOUR, CountBy.ACTOR):
            assert models.event_counts(models.prepare(filter, by)).events == 2
    assert models.event(ids[1]) is None
    later = reader(trail, EventFilter(patient="17", occurred_from=end))
    assert later.events(later.prepare(ALL), PAGE).events == []
    assert later.event(ids[0]) is None


@pytest.mark.usefixtures("ids")
def test_nothing_but_events_is_there_for_a_link(trail: Trail) -> None:
    models = reader(trail, EventFilter(patient="17"))
    for call in (
        lambda: models.patient("17"),
        lambda: models.user("ada"),
        lambda: models.device("pump-1"),
        lambda: models.service("patient-service"),
        lambda: models.resource("Patient", "17"),
        lambda: models.projection("patient"),
        models.projections,
        lambda: models.table_rows(RowRequest(projection="patient", table="patient_access", first=1)),
        lambda: ScopedExport(ExportRequest(format=Format.NDJSON), READER, QueryLog()),
    ):
        with pytest.raises(AccessDeniedError):
            call()
