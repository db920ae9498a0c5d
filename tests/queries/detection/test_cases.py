"""Cases, questions, rules, suppressions and explained accesses, as queries show them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from detection.live.rule_sets import SWITCHED_OFF, activation_event, store_activation
from domain.access.principal import Principal, Role
from domain.alert_level import Level
from domain.cases.commands import (
    AnswerQuestion,
    AskEmployee,
    Assign,
    Comment,
    Decide,
    EndSuppression,
    Person,
    Reopen,
    Suppress,
    Verdict,
)
from domain.errors import RejectedError
from queries.detection.results import BEGIN, CaseFilter, CaseState, NamedValue
from tests.detection.live.logs import DELETION, READS, deletion
from tests.queries.detection.given_detection import GivenDetection

EVE = Principal(id="sub-eve", roles=frozenset({Role.CLINICIAN}), actors=("eve",))
DELETED = "6a3b1a52-0f2f-4e0e-8ff5-6c2f5a1f7c14"
MASS = "6a3b1a52-0f2f-4e0e-8ff5-6c2f5a1f7c12"


def test_a_case_has_its_entries_in_their_order_and_its_alerts(found: GivenDetection) -> None:
    case = found.case_of("eve")
    id = case.case_id
    assert (case.state, case.level, case.alerts, case.title) == (
        CaseState.OPEN,
        Level.HIGH,
        1,
        "A record was deleted",
    )
    found.carried_out(id, Assign(assignee=Person(id="paul", name="Paul"), reason="mine"))
    found.carried_out(id, Comment(text="The roster says nothing."))
    found.carried_out(id, AskEmployee(employee=Person(id="eve"), question="Why?"))
    [question] = found.models(EVE).own_questions()
    assert (question.case_id, question.question) == (id, "Why?")
    assert [each.actor for each in found.cases(asked=True)] == ["eve"]
    found.carried_out(id, AnswerQuestion(answer="A double entry."), EVE)
    assert found.models(EVE).own_questions() == []
    found.carried_out(id, Decide(verdict=Verdict.JUSTIFIED, reason="A double entry.", seconds=60))
    found.carried_out(id, Reopen(reason="There was none."))
    detail = found.models().case(id)
    assert detail is not None
    assert [(each.kind, each.text, each.person, each.verdict) for each in detail.history] == [
        ("case.opened", None, None, None),
        ("case.assigned", "mine", "paul", None),
        ("case.commented", "The roster says nothing.", None, None),
        ("case.employee_asked", "Why?", "eve", None),
        ("case.employee_answered", "A double entry.", None, None),
        ("case.decided", "A double entry.", None, Verdict.JUSTIFIED),
        ("case.reopened", "There was none.", None, None),
    ]
    [alert] = detail.newest_alerts
    assert detail.history[0].alert_id == alert.alert_id
    assert (detail.history[5].seconds, detail.history[1].by_name) == (60, "Paul")
    assert (detail.case.state, detail.case.verdict, detail.case.assignee) == (CaseState.OPEN, None, "paul")
    assert found.models().case(str(uuid4())) is None


def test_cases_are_listed_from_a_level_on(found: GivenDetection) -> None:
    assert [each.actor for each in found.cases(level=Level.HIGH)] == ["eve"]
    assert len(found.cases(level=Level.LOW)) == 2
    assert found.cases(level=Level.CRITICAL) == []


def test_entries_are_paged(found: GivenDetection) -> None:
    id = found.case_of("eve").case_id
    for number in range(4):
        found.carried_out(id, Comment(text=str(number)))
    texts, after = [], -1
    while True:
        detail = found.models().case(id, 2, after)
        assert detail is not None
        texts += [each.text for each in detail.history]
        if detail.next_entry is None:
            break
        after = detail.next_entry
    assert texts == [None, "0", "1", "2", "3"]


def test_conditions_select_cases_and_pages_follow_each_other(found: GivenDetection) -> None:
    found.carried_out(found.case_of("eve").case_id, Assign(assignee=Person(id="paul")))
    assert [each.actor for each in found.cases(assignee="paul")] == ["eve"]
    assert found.cases(assignee="paul", state=CaseState.DECIDED) == []
    assert found.cases(assignee="paul", actor="ada") == []
    assert [each.actor for each in found.cases(state=CaseState.OPEN, asked=False)] == ["ada", "eve"]
    found.trail.append(*(deletion(f"actor-{n}") for n in range(6)))
    found.detect()
    whole = [each.case_id for each in found.cases()]
    assert len(whole) == 8
    read, place = [], BEGIN
    while True:
        page = found.models().cases(CaseFilter(), 3, place)
        read += [each.case_id for each in page.cases]
        if page.next is None:
            break
        place = page.next
    assert read == whole


def test_a_rule_shows_how_right_it_was(found: GivenDetection) -> None:
    found.trail.append(*(deletion(f"actor-{n}") for n in range(3)))
    found.detect()
    verdicts = (Verdict.POLICY_BREACH, Verdict.POLICY_BREACH, Verdict.FALSE_ALARM)
    for number, verdict in enumerate(verdicts):
        found.carried_out(found.case_of(f"actor-{number}").case_id, Decide(verdict=verdict, reason="seen"))
    rules = found.models().detection_rules()
    assert [each.title for each in rules.rules] == ["A record was deleted", "Reads of many patients"]
    deleted, mass = rules.rules
    assert (deleted.rule_id, deleted.alerts, deleted.open_cases) == (DELETED, 4, 1)
    assert (deleted.policy_breaches, deleted.justified, deleted.false_alarms) == (2, 0, 1)
    assert deleted.precision == pytest.approx(2 / 3)
    assert (mass.alerts, mass.open_cases, mass.precision) == (1, 1, None)
    assert rules.position == 0
    shown = found.models().detection_rule(MASS)
    assert shown is not None
    assert (shown.file, shown.text) == ("rule_0.yaml", READS)
    assert found.models().detection_rule(str(uuid4())) is None
    [activation] = found.models().rule_activations()
    assert activation.digest == rules.set_digest


def test_a_rule_that_is_switched_off_is_shown_with_owner_and_reason(found: GivenDetection) -> None:
    decided = {"rule": DELETED, "owner": "paul", "reason": "a migration", "until": "2026-04-01"}
    off = json.dumps([decided])
    documents = [("rule.yaml", DELETION), ("reads.yaml", READS), (SWITCHED_OFF, off)]
    found.trail.append(activation_event(store_activation(found.trail.projector, documents, {})))
    found.detect()
    rules = found.models().detection_rules()
    assert [each.rule_id for each in rules.rules] == [MASS]
    [switched_off] = rules.switched_off
    assert (switched_off.rule, switched_off.owner, switched_off.reason) == (DELETED, "paul", "a migration")


def test_a_suppression_shows_what_it_holds_back_until_it_ends(found: GivenDetection) -> None:
    suppression = uuid4()
    wanted = Suppress(
        rule_id=UUID(DELETED),
        match={"actor.id": "eve"},
        owner=Person(id="paul"),
        reason="the migration",
        expires_at=datetime.now(UTC) + timedelta(days=1),
    )
    found.carried_out(suppression, wanted)
    found.trail.append(deletion("eve"), deletion("mallory"))
    found.detect()
    [held] = found.alerts(suppressed=True)
    assert held.suppressed_by == str(suppression)
    [active] = found.models().suppressions(active=True).suppressions
    assert (active.match, active.held_back, active.active) == ((NamedValue("actor.id", "eve"),), 1, True)
    found.carried_out(suppression, EndSuppression(reason="it is over"))
    assert found.models().suppressions(active=True).suppressions == []
    [ended] = found.models().suppressions().suppressions
    assert (ended.active, ended.end_reason, ended.ended_by) == (False, "it is over", "paul")


def test_explained_accesses_are_summed_by_department(found: GivenDetection) -> None:
    since = datetime(2020, 1, 1, tzinfo=UTC)
    accesses = found.models().explained_accesses(since, since + timedelta(days=366))
    assert (accesses.departments, accesses.accesses, accesses.share) == ([], 0, None)
    with pytest.raises(RejectedError, match="at most 366 days"):
        found.models().explained_accesses(since, since + timedelta(days=400))
    with pytest.raises(RejectedError, match="ends before it begins"):
        found.models().explained_accesses(since, since)
