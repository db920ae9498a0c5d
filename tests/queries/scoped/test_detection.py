"""Who sees which alerts and cases, what of them is hidden, and which reads are recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from msgspec.structs import replace

from domain.access.grants import Operation, Part, roles_with
from domain.access.principal import LinkUse, Principal, Role
from domain.access.scope import Scope
from domain.cases.commands import AskEmployee, Comment, Person
from domain.errors import AccessDeniedError
from domain.event import ActorKind
from domain.read_audit.query_log import QueryLog
from queries.detection.results import AlertFilter, CaseFilter, NamedValue
from queries.filters.event_filter import CountBy, EventFilter, PageRequest
from queries.scoped.detection_redaction import REDACTED, redacted_alert
from queries.scoped.read_models import ScopedModels
from tests.queries.detection.given_detection import GivenDetection, given_detection
from tests.trail import Trail, an_event

SINCE, UNTIL = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
READS: dict[str, Callable[[ScopedModels, str], Any]] = {
    "alerts": lambda models, _: models.alerts(AlertFilter()),
    "alert": lambda models, name: models.alert(name),
    "alert_events": lambda models, name: models.alert_events(name),
    "cases": lambda models, _: models.cases(CaseFilter()),
    "case": lambda models, name: models.case(name),
    "detection_rules": lambda models, _: models.detection_rules(),
    "detection_rule": lambda models, name: models.detection_rule(name),
    "rule_activations": lambda models, _: models.rule_activations(),
    "suppressions": lambda models, _: models.suppressions(),
    "explained_accesses": lambda models, _: models.explained_accesses(SINCE, UNTIL),
}
SEE = {Role.AUDITOR, Role.PRIVACY_OFFICER, Role.SECURITY_OFFICER, Role.REVIEWER, Role.ADMIN}
UNRECORDED = {"detection_rules", "detection_rule", "rule_activations"}


@pytest.fixture
def found(trail: Trail) -> Iterator[GivenDetection]:
    with given_detection(trail) as detection:
        detection.given()
        yield detection


def person(*roles: Role, id: str = "somebody", **claims: Any) -> Principal:
    return Principal(id=id, roles=frozenset(roles), **claims)


def test_each_role_reads_all_or_is_denied_and_both_are_logged(found: GivenDetection) -> None:
    [alert] = found.alerts(actor="eve")
    for role in Role:
        for name, read in READS.items():
            log = QueryLog()
            models = found.models(person(role), log)
            if role in SEE:
                read(models, alert.alert_id)
                assert [each.operation for each in log.queries] == ([] if name in UNRECORDED else [name])
            else:
                with pytest.raises(AccessDeniedError, match="needs one of the roles"):
                    read(models, alert.alert_id)
                assert [each.operation for each in log.take_denied().queries] == [name]


def test_no_role_that_reads_cases_hides_what_is_not_redacted() -> None:
    for role in roles_with(Operation.READ_CASES):
        assert Scope(person(role)).hidden(Operation.READ_CASES) <= REDACTED


@pytest.mark.parametrize("claims", [{"id": "ada"}, {"actors": ("ada",)}])
def test_a_reviewer_sees_nothing_about_themselves(found: GivenDetection, claims: dict[str, Any]) -> None:
    reviewer = person(Role.REVIEWER, **claims)
    case, [alert] = found.case_of("ada"), found.alerts(actor="ada")
    assert [each.actor for each in found.alerts(reviewer)] == ["eve"]
    assert found.alerts(reviewer, actor="ada") == []
    assert [each.actor for each in found.cases(reviewer)] == ["eve"]
    models = found.models(reviewer)
    assert models.alert(alert.alert_id) is None
    assert models.alert_events(alert.alert_id) is None
    assert models.case(case.case_id) is None
    assert len(found.alerts(person(Role.REVIEWER, kind=ActorKind.SERVICE, **claims))) == 2
    assert len(found.alerts(person(Role.REVIEWER, Role.AUDITOR, **claims))) == 2


def test_no_count_of_a_rule_tells_a_reviewer_of_an_alert_about_them(found: GivenDetection) -> None:
    counted = {}
    for id in ("ada", "eve", "somebody"):
        models = found.models(person(Role.REVIEWER, id=id))
        rules = models.detection_rules().rules
        counted[id] = sum(each.alerts for each in rules), sum(each.open_cases for each in rules)
        for each in rules:
            shown = models.detection_rule(each.rule_id)
            assert shown is not None
            assert shown.rule == each
    assert counted == {"ada": (1, 1), "eve": (1, 1), "somebody": (2, 2)}


def test_a_command_does_not_tell_a_reviewer_of_a_case_about_them(found: GivenDetection) -> None:
    ada = person(Role.REVIEWER, id="ada")
    case = found.case_of("ada").case_id
    assert found.carried_out(case, Comment(text="x"), ada) == found.carried_out(
        uuid4(), Comment(text="x"), ada
    )


def test_a_reviewer_finds_no_alert_among_the_events(found: GivenDetection) -> None:
    raised = an_event(
        "alert.raised", source={"service": "audit-trail"}, resources=[{"type": "Alert", "id": "1"}]
    )
    found.trail.given(raised)
    shown = {}
    for role in (Role.REVIEWER, Role.AUDITOR):
        models = found.models(person(role))
        page = models.events(models.prepare(EventFilter()), PageRequest(first=50))
        by_type = models.prepare(EventFilter(), CountBy.TYPE)
        assert by_type.precomputed is not None
        counted = {each.key for each in models.event_counts(by_type).buckets}
        shown[role] = (
            "alert.raised" in {each.event.type for each in page.events},
            "alert.raised" in counted,
            models.event(raised.event_id) is not None,
        )
    assert shown == {Role.REVIEWER: (False,) * 3, Role.AUDITOR: (True,) * 3}


def test_only_the_employee_asked_sees_the_question(found: GivenDetection) -> None:
    case = found.case_of("eve")
    found.carried_out(case.case_id, AskEmployee(employee=Person(id="eve"), question="Why?"))
    log = QueryLog()
    eve = person(Role.CLINICIAN, id="sub-eve", actors=("eve",))
    [question] = found.models(eve, log).own_questions()
    assert question.question == "Why?"
    assert [(each.operation, each.returned) for each in log.queries] == [("own_questions", 1)]
    with pytest.raises(AccessDeniedError):
        found.models(eve).case(case.case_id)
    assert found.models(person(id="eve")).own_questions() == [question]
    assert found.models(person(Role.AUDITOR)).own_questions() == []
    robot = person(Role.CLINICIAN, id="eve", kind=ActorKind.SERVICE)
    reader = person(Role.AUDITOR, id="eve", link=LinkUse(id="1", maker="paul"))
    for nobody in (robot, reader):
        with pytest.raises(AccessDeniedError):
            ScopedModels(found.trail.read, Scope(nobody), QueryLog(), EventFilter(actor="x")).own_questions()


def test_hidden_values_are_absent_from_groups_and_reasons(found: GivenDetection) -> None:

    [alert] = found.alerts(actor="ada")
    given = replace(
        alert,
        actor="DOE^JANE",
        group=(NamedValue("patients.id", "DOE^JANE"), NamedValue("patients.id", "17")),
        reasons=(
            "it: patients.name has Jane",
            "it: changes.after has 80 mg",
            "3 values of patients.id, such as DOE^JANE, 17",
            "it: patients.id has 17",
            "type has record.read",
        ),
    )
    officer = redacted_alert(given, Scope(person(Role.SECURITY_OFFICER)).hidden(Operation.READ_CASES))
    assert [pair.value for pair in officer.group] == [None, "17"]
    assert officer.actor is None
    assert officer.reasons == ("it: patients.id has 17", "type has record.read")
    reviewer = redacted_alert(given, frozenset({Part.VALUES}))
    assert (reviewer.actor, len(reviewer.reasons)) == ("DOE^JANE", 4)
    assert redacted_alert(given, frozenset()) is given


def test_the_patients_that_the_evidence_names_are_disclosed(found: GivenDetection) -> None:
    [alert] = found.alerts(actor="ada")
    log = QueryLog()
    found.models(log=log).alert_events(alert.alert_id)
    assert set(log.patients) == {"p-0", "p-1", "p-2"}
    assert found.models().alert(str(uuid4())) is None
