"""Who sees nothing of alerts about themselves finds no alert among the events either."""

from __future__ import annotations

from itertools import combinations_with_replacement
from typing import Any

import pytest
from msgspec.structs import replace

from domain.access.coverage import covers
from domain.access.grants import ALERTS_OF_OTHERS, WITHOUT_ALERTS, Operation
from domain.access.principal import Principal, Role
from domain.access.scope import Scope
from domain.cases.access import unseen_actors
from domain.errors import AccessDeniedError
from domain.event import Actor, ActorKind, AuditEvent, Source
from domain.read_audit.query_log import QueryLog
from event_store.database import READER, Database
from queries.read_models import ReadModels
from queries.scoped.read_models import ScopedModels
from tests.domain.access.knowing import somebody
from tests.hospital import event

TRAIL = Source(service="audit-trail")
ALERT = event(
    "alert.raised",
    0,
    source=TRAIL,
    actor=Actor(kind=ActorKind.SERVICE, id="audit-trail"),
    attributes={"group": [{"name": "actor.id", "value": "ada"}]},
)
OFFICERS = {Role.AUDITOR, Role.PRIVACY_OFFICER, Role.SECURITY_OFFICER, Role.ADMIN}
ADA = Principal(id="ada", roles=frozenset({Role.REVIEWER}))


@pytest.mark.parametrize("roles", list(combinations_with_replacement(Role, 2)))
def test_who_sees_no_alert_about_themselves_sees_none_as_an_event(roles: tuple[Role, Role]) -> None:
    claims: Any = {"actors": ("ada",), "patients": ("17",), "sources": ("audit-trail",), "devices": ("d",)}
    scope = Scope(Principal(id="ada", roles=frozenset(roles), **claims))
    if unseen_actors(scope):
        assert not OFFICERS & set(roles)
        shown = [scope.redacted(ALERT)] if scope.admits(ALERT) else []
        assert all(not each.attributes and each.reason is None for each in shown)
    assert scope.sees_alerts is bool({*OFFICERS, Role.ANALYST} & set(roles))
    assert set(roles) != {Role.SERVICE_OWNER} or not scope.admits(ALERT)


def test_a_reviewer_sees_all_other_events_and_a_program_all() -> None:
    assert not Scope(ADA).admits(ALERT)
    assert not Scope(ADA).admits(
        event("employee.asked", 0)
    )  # it names a case, perhaps one that she does not see
    assert Scope(ADA).admits(event("record.read", 0))
    assert Scope(ADA).rows(Operation.READ_EVENTS) == (WITHOUT_ALERTS,)
    assert Scope(replace(ADA, kind=ActorKind.SERVICE)).admits(ALERT)
    assert not Scope(ADA).hides_somewhere(())


def test_who_lost_the_view_of_alerts_lost_something() -> None:
    person, program = (
        Scope(each).grants(Operation.EXPORT) for each in (ADA, replace(ADA, kind=ActorKind.SERVICE))
    )
    assert covers(program, person)
    assert not covers(person, program)


def access_record(by: str = "paul") -> AuditEvent:
    asked = [
        {"operation": "alerts", "asked": {"actor": "ada"}, "returned": 3},
        {"operation": "events", "asked": {"filter": {"type": ["record.read"]}}, "returned": 3},
    ]
    return event("audit_log.read", 0, source=TRAIL, actor=Actor(id=by), attributes={"questions": asked})


def test_an_access_record_does_not_tell_about_whom_others_read_alerts() -> None:
    alerts, events = Scope(ADA).redacted(access_record()).attributes["questions"]
    assert alerts == {"operation": "alerts", "returned": 3}
    assert "asked" in events
    assert Scope(ADA).redacted(access_record("ada")).attributes == access_record("ada").attributes
    assert (
        Scope(somebody(Role.SECURITY_OFFICER)).redacted(access_record()).attributes["questions"][0]["asked"]
    )


def test_an_alert_can_not_be_confirmed_by_its_id() -> None:
    """The id of an alert follows from rule, group and window, which somebody could guess."""
    unread = ReadModels(Database("postgresql:///none", READER))
    with pytest.raises(AccessDeniedError):
        ScopedModels(unread, Scope(ADA), QueryLog()).require("resource", "9d3f2c1e", "Alert")
    with pytest.raises(AccessDeniedError):
        ScopedModels(unread, Scope(ADA), QueryLog()).require("resource", "9d3f2c1e", "Case")
    ScopedModels(unread, Scope(ADA), QueryLog()).require("resource", "9d3f2c1e", "Report")
    officer = Scope(somebody(Role.PRIVACY_OFFICER))
    ScopedModels(unread, officer, QueryLog()).require("resource", "9d3f2c1e", "Alert")


def test_the_roles_of_others_alerts_review_cases() -> None:
    assert all(Scope(somebody(role)).may(Operation.READ_CASES) for role in ALERTS_OF_OTHERS)
