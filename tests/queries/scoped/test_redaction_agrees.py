"""What the read models find for a principal is what the rules of access show: no page holds what can't be shown."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.access.grants import Operation
from domain.access.principal import Principal, Role
from domain.access.scope import Scope
from domain.catalogue import CATALOGUE, TRAIL_SERVICE
from domain.errors import AccessDeniedError
from domain.event import Actor, ActorKind, AuditEvent, Device, Patient, RecordedEvent, Source
from domain.read_audit.query_log import QueryLog
from domain.validation import encode_event
from event_store.database import READER, Database
from queries.filters.event_filter import EventFilter
from queries.filters.match import matches
from queries.read_models import ReadModels
from queries.scoped.events import ScopedEvents
from queries.scoped.query_description import scope_filter
from tests.queries.scoped.redacted_events import ROLES, events, filters, readers
from tests.trail import an_event

_NAMES = st.sampled_from(["a", "b", "c"])
_SOME = st.lists(_NAMES, max_size=2, unique=True).map(tuple)
_SERVICES = st.sampled_from(["a", "b", TRAIL_SERVICE])
_PRINCIPALS = st.builds(
    Principal,
    id=st.just("x"),
    roles=st.frozensets(st.sampled_from(Role)),
    kind=st.sampled_from([ActorKind.USER, ActorKind.SERVICE]),
    actors=_SOME,
    patients=_SOME,
    sources=st.lists(_SERVICES, max_size=2, unique=True).map(tuple),
    devices=_SOME,
)
_EVENTS = st.builds(
    AuditEvent,
    event_id=st.builds(uuid4),
    type=st.sampled_from(sorted(CATALOGUE)) | st.just("alert.raised"),
    occurred_at=st.just(datetime(2026, 3, 1, tzinfo=UTC)),
    source=st.builds(Source, service=_SERVICES),
    actor=st.builds(Actor, kind=st.sampled_from(ActorKind), id=st.none() | _NAMES, name=_NAMES),
    patients=_SOME.map(lambda ids: tuple(Patient(id=id, name=f"secret {id}") for id in ids)),
    device=st.none() | st.builds(Device, id=_NAMES),
)


@given(_PRINCIPALS, _EVENTS)
def test_what_is_found_is_what_may_be_seen(principal: Principal, event: AuditEvent) -> None:
    scope = Scope(principal)
    recorded = _recorded(event)
    try:
        rows = scope.rows(Operation.READ_EVENTS)
    except AccessDeniedError:
        assert not scope.admits(event)
        return
    found = matches(scope_filter(rows) or EventFilter(), recorded)
    assert found is scope.admits(event)
    if found:
        encode_event(scope.redacted(event))


@given(_PRINCIPALS, _EVENTS, _SOME)
def test_another_role_never_shows_less(
    principal: Principal, event: AuditEvent, told: tuple[str, ...]
) -> None:
    alone = [Scope(replace(principal, roles=frozenset({role})), sees_staff=told) for role in principal.roles]
    both = Scope(principal, sees_staff=told)
    assert both.admits(event) is any(scope.admits(event) for scope in alone)
    for operation in Operation:
        assert both.may(operation) is any(scope.may(operation) for scope in alone)
    if any(scope.sees_all for scope in alone):
        assert both.sees_all
        assert both.redacted(event) is event


_READ_MODELS = ReadModels(Database("postgresql:///none", READER))
"""To prepare a query asks no database."""


@cache
def _hiding() -> list[RecordedEvent]:
    return [_recorded(an_event(**fields)) for fields in events(40)]


@pytest.mark.parametrize("roles", ROLES, ids=lambda roles: "-".join(sorted(set(roles))))
def test_a_filter_finds_an_event_by_nothing_that_is_redacted_from_it(roles: tuple[Role, ...]) -> None:
    for principal, scope in readers(*roles):
        seen = [
            (each, replace(each, event=scope.redacted(each.event)))
            for each in _hiding()
            if scope.admits(each.event)
        ]
        for filter in filters():
            try:
                query = ScopedEvents(_READ_MODELS, scope, QueryLog()).prepare(filter)
            except AccessDeniedError:
                continue
            assert query.filter == filter
            for recorded, redacted in seen:
                within = query.scope is None or matches(query.scope, recorded)
                found = matches(query.combined, recorded)
                assert found is (within and matches(filter, redacted)), (principal, filter, redacted)


def _recorded(event: AuditEvent) -> RecordedEvent:
    return RecordedEvent(
        position=0, recorded_at=event.occurred_at, stream=UUID(int=1), stream_position=0, event=event
    )
