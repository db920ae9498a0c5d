"""Pages, counts and exports find by a filter what the redacted events say, and nothing that is hidden."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import NamedTuple

import msgspec
import pytest

from domain.access.grants import Part
from domain.access.person_names import is_name
from domain.access.principal import Role
from domain.access.scope import Scope
from domain.errors import AccessDeniedError
from domain.event import RecordedEvent
from domain.read_audit.query_log import QueryLog
from event_store.event_reader import read_events
from queries.export.pipeline import Exports
from queries.export.request import ExportRequest, Format
from queries.export.stream import stream
from queries.filters.event_filter import CountBy, Distinct, EventFilter, PageRequest
from queries.filters.match import matches
from queries.scoped.export import ScopedExport
from queries.scoped.read_models import ScopedModels
from tests.databases import PROJECTED, Databases
from tests.queries.scoped.redacted_events import ROLES, events, readers
from tests.trail import START, Trail, an_event

TYPES = ("Report", "AuditLog")
FILTERS = [
    *(EventFilter(resource_type=type) for type in TYPES),
    *(EventFilter(not_=EventFilter(resource_type=type)) for type in TYPES),
    EventFilter(or_=(EventFilter(resource_type="Report"), EventFilter(actor="b"))),
    EventFilter(and_=tuple(EventFilter(resource_type=type) for type in TYPES)),
    EventFilter(not_=EventFilter(actor_in=("a", "b"))),
    EventFilter(resource_type="Report", patient="a"),
    EventFilter(session_in=("a", "b"), resource_type="AuditLog", resource_id="/v1/events"),
]
SPAN = EventFilter(occurred_from=START, occurred_until=START + timedelta(days=1))


class Hiding(NamedTuple):
    """A trail of events that hide something from somebody, and these events."""

    trail: Trail
    events: list[RecordedEvent]


@pytest.fixture(scope="module")
def hiding(databases: Databases) -> Iterator[Hiding]:
    """No test changes it."""
    with databases.copy(PROJECTED) as url, closing(Trail(url)) as trail:
        trail.given(*(an_event(minute=number, **fields) for number, fields in enumerate(events(80))))
        with trail.reader.transaction(read_only=True) as connection:
            yield Hiding(trail, read_events(connection, -1, 80).events)


def exported(trail: Trail, filter: EventFilter, scope: Scope) -> list[int]:
    access = ScopedExport(ExportRequest(format=Format.NDJSON, filter=filter), scope, QueryLog())
    with Exports(trail.reader).open(access.request, access=access) as export:
        lines = b"".join(stream(export)).splitlines()
    return [msgspec.json.decode(line)["position"] for line in lines]


@pytest.mark.parametrize(
    "roles",
    # `test_redaction_agrees` has the pairs in every run.
    [pytest.param(each, marks=pytest.mark.thorough if len(set(each)) > 1 else ()) for each in ROLES],
    ids=lambda roles: "-".join(sorted(set(roles))),
)
def test_a_query_of_any_kind_finds_what_the_redacted_events_say(
    hiding: Hiding, roles: tuple[Role, ...]
) -> None:
    for _, scope in readers(*roles):
        models = ScopedModels(hiding.trail.read, scope, QueryLog())
        for filter in FILTERS:
            try:
                query = models.prepare(filter)
            except AccessDeniedError:
                continue
            expected = [
                each.position
                for each in hiding.events
                if (query.scope is None or matches(query.scope, each))
                and matches(filter, msgspec.structs.replace(each, event=scope.redacted(each.event)))
            ]
            page = models.events(query, PageRequest(first=100))
            assert [each.position for each in page.events] == expected[::-1]
            within = EventFilter(and_=(filter, SPAN))
            assert models.event_counts(models.prepare(within, CountBy.TYPE)).events == len(expected)
            assert exported(hiding.trail, filter, scope) == expected


@pytest.mark.parametrize("roles", ROLES, ids=lambda roles: "-".join(sorted(set(roles))))
def test_different_actors_and_patients_are_counted_as_far_as_they_are_seen(
    hiding: Hiding, roles: tuple[Role, ...]
) -> None:
    for _, scope in readers(*roles):
        models = ScopedModels(hiding.trail.read, scope, QueryLog())
        for distinct in Distinct:
            hides = {Part.STAFF_IDS} | ({Part.OTHER_PATIENTS} if distinct is Distinct.PATIENTS else set())
            try:
                query = models.prepare(SPAN, CountBy.ACTOR, (distinct,))
            except AccessDeniedError:
                assert hides & scope.hides_in_every_row()
                continue
            seen = [
                (each.event, scope.redacted(each.event))
                for each in hiding.events
                if query.scope is None or matches(query.scope, each)
            ]
            # An actor whose id is a name is counted, without that name.
            actors = {event.actor.id for event, left in seen if left.actor.id or is_name(event.actor.id)}
            patients = {patient.id for event, _ in seen for patient in event.patients}
            found = models.event_counts(query)
            assert found.events == len(seen)
            if distinct is Distinct.ACTORS:
                assert (found.actors, found.patients) == (len(actors), None)
            else:
                assert (found.actors, found.patients) == (None, len(patients))
            shown = {left.actor.id for _, left in seen} - {None}
            keys = {bucket.key for bucket in found.buckets if bucket.key is not None}
            assert {id for id in shown if not is_name(id)} <= keys <= shown
