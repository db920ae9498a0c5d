"""A case without any store: what each command does to it, and which it refuses."""

from __future__ import annotations

from uuid import uuid4

import pytest

from detection.cases import case as case_module
from detection.cases.alerts import TRAIL, about_actor, subject_of
from detection.cases.case import Case, CaseChange
from detection.cases.stored_events import CaseEvents
from domain.alert_level import Level
from domain.cases.commands import (
    AnswerQuestion,
    AskEmployee,
    Assign,
    Comment,
    Decide,
    OpenCase,
    Person,
    Reopen,
    Verdict,
)
from domain.errors import ConflictError
from tests.detection.cases.given_cases import ADA, PERSON_ADA, RITA, RULE, an_alert, command, day

ASSIGN = Assign(assignee=Person(id="rita"))
ASK = AskEmployee(employee=PERSON_ADA, question="Why did you open it?")
ANSWER = AnswerQuestion(answer="I was on call.")
DECIDE = Decide(verdict=Verdict.JUSTIFIED, reason="On call that night.", seconds=420)
REOPEN = Reopen(reason="The roster was wrong.")
COMMENT = Comment(text="The roster says so.")


def a_case(*changes: CaseChange) -> Case:
    case = Case.open(an_alert(), about_actor("ada"), at=day(0), earlier=None)
    for body in changes:
        case.change(command(case.id, body), body)
    return case


def topics(case: Case) -> list[str]:
    return [CaseEvents().to_stored_event(event).topic for event in case.collect_events()]


def test_an_alert_opens_a_case_about_its_actor() -> None:
    case = Case.open(an_alert(), about_actor("ada"), at=day(1), earlier=None)
    [opened] = case.collect_events()
    assert isinstance(opened, Case.Opened)
    assert (opened.actor, opened.by, opened.title, opened.level) == ("ada", TRAIL, "Mass access", Level.HIGH)
    assert (opened.timestamp, case.newest_alert_at, case.is_open) == (day(1), day(0), True)


def test_the_same_alert_opens_the_same_case() -> None:
    alert = an_alert()
    opened = [Case.open(alert, about_actor("ada"), at=day(at), earlier=None) for at in (0, 1)]
    assert opened[0].id == opened[1].id


def test_a_case_is_assigned_discussed_decided_and_opened_again() -> None:
    case = a_case(ASSIGN, COMMENT, ASK, ANSWER, DECIDE, COMMENT, REOPEN, DECIDE)
    assert not case.is_open
    assert topics(case) == [
        "case.opened",
        "case.assigned",
        "case.commented",
        "case.employee_asked",
        "case.employee_answered",
        "case.decided",
        "case.commented",
        "case.reopened",
        "case.decided",
    ]


def test_every_event_says_who_when_and_by_which_command() -> None:
    case = a_case()
    given = command(case.id, COMMENT, RITA, days=2)
    case.change(given, COMMENT)
    commented = case.collect_events()[-1]
    assert isinstance(commented, Case.Commented)
    assert (commented.by, commented.timestamp, commented.command) == (
        Person(id="rita", name="Rita Reviewer"),
        day(2),
        given.id,
    )


@pytest.mark.parametrize(
    ("before", "body", "why"),
    [
        ([DECIDE], ASSIGN, "is decided, so it can't be assigned"),
        ([DECIDE], ASK, "is decided, so it can't be asked about"),
        ([DECIDE], DECIDE, "is decided, so it can't be decided"),
        ([], REOPEN, "this case is open"),
        ([], ANSWER, "has no open question"),
        ([ASK], ASK, "is still open"),
        ([ASK, ANSWER], ANSWER, "has no open question"),
        ([ASK, DECIDE], ANSWER, "has no open question"),
    ],
)
def test_what_the_state_does_not_allow_is_refused(
    before: list[CaseChange], body: CaseChange, why: str
) -> None:
    case = a_case(*before)
    version = case.version
    with pytest.raises(ConflictError, match=why):
        case.change(command(case.id, body), body)
    assert case.version == version


def test_a_command_that_was_carried_out_changes_nothing() -> None:
    case = a_case()
    decided = command(case.id, DECIDE)
    case.change(decided, DECIDE)
    case.change(decided, DECIDE)
    assert topics(case) == ["case.opened", "case.decided"]


def test_an_alert_joins_once() -> None:
    case, alert = a_case(), an_alert(3)
    case.join(alert, at=day(3))
    case.join(alert, at=day(3))
    assert topics(case) == ["case.opened", "case.alert_joined"]
    assert case.newest_alert_at == day(3)


@pytest.mark.parametrize(
    ("days", "admitted"), [(-5, True), (0, True), (90, True), (90.01, False), (95, False)]
)
def test_a_case_admits_alerts_until_90_days_after_its_newest_one(days: float, *, admitted: bool) -> None:
    assert a_case().admits(an_alert(days)) is admitted


def test_the_90_days_begin_again_with_each_alert() -> None:
    case = a_case()
    case.join(an_alert(80), at=day(80))
    assert case.admits(an_alert(160))


def test_a_decided_case_admits_no_alert() -> None:
    assert not a_case(DECIDE).admits(an_alert(1))
    assert a_case(DECIDE, REOPEN).admits(an_alert(1))


def test_a_case_has_a_bounded_number_of_alerts_and_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(case_module, "MAX_ALERTS", 2)
    monkeypatch.setattr(case_module, "MAX_EVENTS", 4)
    case = a_case()
    case.join(an_alert(1), at=day(1))
    assert not case.admits(an_alert(2))
    case.change(command(case.id, COMMENT), COMMENT)
    case.change(command(case.id, COMMENT), COMMENT)
    with pytest.raises(ConflictError, match="open another one"):
        case.change(command(case.id, COMMENT), COMMENT)


def test_a_person_opens_a_case_by_hand() -> None:
    body = OpenCase(actor="ada", title="A complaint", level=Level.LOW, reason="A patient called.")
    given = command(uuid4(), body, ADA)
    case = Case.open_by_hand(given, body, about_actor("ada"), None)
    assert (case.id, case.alerts, case.newest_alert_at) == (given.target, set(), day(0))


@pytest.mark.parametrize(
    ("group", "actor", "key"),
    [
        ((("actor.id", "ada"),), None, "actor:ada"),
        ((("actor.id", "ada"), ("patient", "17")), "bob", "actor:ada"),
        ((), "ada", "actor:ada"),
        ((("source.service", "lab"),), None, 'group:[["source.service","lab"]]'),
        ((("b", "2"), ("a", "1")), None, 'group:[["a","1"],["b","2"]]'),
        ((), None, f"rule:{RULE}"),
    ],
)
def test_alerts_are_about_the_actor_else_the_group_else_the_rule(
    group: tuple[tuple[str, str], ...], actor: str | None, key: str
) -> None:
    assert subject_of(RULE, group, actor).key == key


def test_a_long_group_gives_a_short_key() -> None:
    assert len(subject_of(RULE, (("path", "x" * 60_000),), None).key) < 100


def test_levels_are_those_of_sigma_the_least_serious_first() -> None:
    assert list(Level) == ["informational", "low", "medium", "high", "critical"]
