"""Who may give which command about a case: by role, and never about oneself."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
from msgspec.structs import replace

from domain.access.principal import LinkUse, Principal, Role
from domain.alert_level import Level
from domain.cases.access import may_answer, require_command, require_role
from domain.cases.commands import (
    AnswerQuestion,
    AskEmployee,
    Assign,
    Body,
    Comment,
    Decide,
    EndSuppression,
    OpenCase,
    Person,
    Reopen,
    Suppress,
    Verdict,
)
from domain.errors import AccessDeniedError
from domain.event import ActorKind
from tests.domain.access.knowing import somebody

ADA = Person(id="ada")
SUPPRESS = Suppress(
    rule_id=UUID(int=1), owner=ADA, reason="known", expires_at=datetime(2026, 4, 1, tzinfo=UTC)
)
ANSWER = AnswerQuestion(answer="I was on call.")
REVIEWING = {Role.PRIVACY_OFFICER, Role.SECURITY_OFFICER, Role.REVIEWER, Role.ADMIN}
OFFICERS = REVIEWING - {Role.REVIEWER}
ALLOWED: list[tuple[Body, set[Role]]] = [
    (OpenCase(actor="ada", title="A complaint", level=Level.LOW, reason="x"), REVIEWING),
    (Assign(assignee=ADA), REVIEWING),
    (Comment(text="x"), REVIEWING),
    (AskEmployee(employee=ADA, question="x"), REVIEWING),
    (Decide(verdict=Verdict.JUSTIFIED, reason="x"), REVIEWING),
    (Reopen(reason="x"), REVIEWING),
    (SUPPRESS, OFFICERS),
    (EndSuppression(reason="x"), OFFICERS),
]


@pytest.mark.parametrize("role", Role)
def test_a_role_gives_the_commands_of_the_table_and_no_others(role: Role) -> None:
    for body, roles in ALLOWED:
        if role in roles:
            require_command(somebody(role), body, actor="bob")
        else:
            with pytest.raises(AccessDeniedError):
                require_role(somebody(role), body)


@pytest.mark.parametrize("role", sorted(REVIEWING))
@pytest.mark.parametrize("who", [{"actors": ("ada",)}, {"id": "ada"}])
def test_nobody_reviews_a_case_of_their_own(role: Role, who: dict[str, str]) -> None:
    principal = replace(somebody(role), **who)
    for body, _ in ALLOWED[:6]:
        with pytest.raises(AccessDeniedError):
            require_command(principal, body, actor="ada")
        require_command(principal, body, actor="bob")
        require_command(principal, body, actor=None)


def test_nobody_suppresses_alerts_about_themselves() -> None:
    officer = somebody(Role.PRIVACY_OFFICER, actors=("ada",))
    require_role(officer, replace(SUPPRESS, match={"actor.id": "bob"}))
    with pytest.raises(AccessDeniedError):
        require_role(officer, replace(SUPPRESS, match={"actor.id": "ada"}))


def test_the_employee_asked_answers_and_nobody_else() -> None:
    employee = Principal(id="sub-1", roles=frozenset(), actors=("ada",))
    require_command(employee, ANSWER, actor="ada", asked=ADA)
    for other, asked in ((somebody(Role.ADMIN), ADA), (employee, Person(id="bob")), (employee, None)):
        assert not may_answer(other, asked)
        with pytest.raises(AccessDeniedError):
            require_command(other, ANSWER, actor="ada", asked=asked)


def test_a_service_or_patient_with_the_id_of_an_employee_is_not_the_employee() -> None:
    service = Principal(id="ada", roles=frozenset({Role.ADMIN}), kind=ActorKind.SERVICE)
    patient = replace(service, kind=ActorKind.PATIENT)
    assert not may_answer(service, ADA)
    assert not may_answer(patient, ADA)


def test_the_reader_of_a_link_gives_no_commands() -> None:
    reader = replace(somebody(Role.ADMIN, actors=("ada",)), link=LinkUse("5e", "ada"))
    for body in (ANSWER, *(body for body, _ in ALLOWED)):
        with pytest.raises(AccessDeniedError):
            require_command(reader, body, actor="bob", asked=ADA)
