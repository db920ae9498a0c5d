"""What the pages about alerts, cases and rules say."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from dashboard.detection.alert_page import alert_page
from dashboard.detection.case_page import case_page
from dashboard.detection.rules import rule_overview
from dashboard.render import render
from dashboard.viewer import Viewer
from domain.access.principal import Principal, Role
from domain.access.scope import Scope
from domain.alert_level import Level
from domain.cases.commands import Verdict
from queries.detection.results import (
    AlertKind,
    AlertView,
    CaseDetail,
    CaseEntry,
    CaseState,
    CaseView,
    DepartmentAccesses,
    ExplainedAccesses,
    Handling,
    NamedValue,
    RuleList,
    RuleView,
    SwitchedOffRule,
)

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)


def viewer(role: Role = Role.PRIVACY_OFFICER, id: str = "paul") -> Viewer:
    principal = Principal(id=id, roles=frozenset({role}))
    return Viewer(principal=principal, scope=Scope(principal), now=NOW)


def alert(**fields: Any) -> AlertView:
    given: dict[str, Any] = {
        "alert_id": "0f7c1f9e-5a39-4c5e-9a53-0c5f6f0f1a01",
        "position": 9,
        "raised_at": NOW,
        "rule_id": "6a3b1a52-0f2f-4e0e-8ff5-6c2f5a1f7c14",
        "rule_digest": "d" * 64,
        "title": "Mass access",
        "level": Level.HIGH,
        "kind": AlertKind.MATCH,
        "group": (NamedValue("actor.id", "ada"),),
        "actor": "ada",
        "events": 1,
        "final": True,
        "begins": NOW,
        "ends": NOW,
        "positions": (9,),
        "reasons": ("it has 30 patients",),
        "case_id": None,
        "case_state": Handling.NONE,
        "verdict": None,
        "suppressed_by": None,
    }
    return AlertView(**given | fields)


def case(**fields: Any) -> CaseView:
    given: dict[str, Any] = dict.fromkeys(CaseView.__struct_fields__) | {
        "case_id": "0f7c1f9e-5a39-4c5e-9a53-0c5f6f0f1a02",
        "opened_position": 9,
        "opened_at": NOW,
        "opened_by": "audit-trail",
        "actor": "ada",
        "title": "Mass access",
        "level": Level.HIGH,
        "reason": "",
        "state": CaseState.OPEN,
        "alerts": 1,
        "entries": 1,
        "position": 9,
        "changed_at": NOW,
    }
    return CaseView(**given | fields)


def rule(**fields: Any) -> RuleView:
    given: dict[str, Any] = {
        "rule_id": "6a3b1a52-0f2f-4e0e-8ff5-6c2f5a1f7c14",
        "rule_digest": "d" * 64,
        "title": "Mass access",
        "level": Level.HIGH,
        "author": None,
        "missing": (),
        "active_from": NOW,
        "alerts": 3,
        "open_cases": 0,
        "justified": 0,
        "policy_breaches": 0,
        "false_alarms": 0,
        "precision": None,
    }
    return RuleView(**given | fields)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": AlertKind.OVERFLOW}, "more groups than it may remember"),
        ({"kind": AlertKind.LATE}, "Events came later than the rule allows"),
        ({"positions": (), "events": 0}, "something did not happen"),
        ({"events": 250, "positions": tuple(range(100))}, "it has 150 events more"),
        ({}, "Not shown to you, or not in the database: 1 event"),
        ({"reasons": ()}, "The rule gives no reasons, or they are not shown to you"),
        ({"group": (NamedValue("patients.name", None),)}, "not shown to you"),
        ({"final": False}, "so far: more may join"),
        ({"suppressed_by": "s-1"}, "suppressed"),
        ({"case_state": Handling.DECIDED, "verdict": Verdict.FALSE_ALARM}, "decided: false alarm"),
    ],
)
def test_an_alert_says_what_its_evidence_leaves_out(fields: dict[str, Any], said: str) -> None:
    assert said in render(alert_page(alert(**fields), [], 9, viewer())).decode()


def test_a_case_is_opened_by_hand_only_for_an_alert_in_none_and_about_somebody_else() -> None:
    assert alert_page(alert(), [], 9, viewer()).may_open
    assert not alert_page(alert(), [], 9, viewer(id="ada")).may_open
    assert not alert_page(alert(actor=None), [], 9, viewer()).may_open
    assert not alert_page(alert(case_state=Handling.OPEN, case_id="c"), [], 9, viewer()).may_open
    assert not alert_page(alert(), [], 9, viewer(Role.AUDITOR)).may_open


def test_only_officers_suppress_and_only_what_they_see() -> None:
    hidden = alert(group=(NamedValue("patients.name", None),))
    assert alert_page(alert(), [], 9, viewer()).may_suppress
    assert not alert_page(alert(), [], 9, viewer(Role.REVIEWER)).may_suppress
    assert not alert_page(hidden, [], 9, viewer(Role.SECURITY_OFFICER)).may_suppress


def test_a_story_names_who_did_what_and_how_long_it_took() -> None:
    common: dict[str, Any] = dict.fromkeys(CaseEntry.__struct_fields__) | {
        "position": 9,
        "at": NOW,
        "recorded_at": NOW,
        "by_kind": "user",
        "by_id": "paul",
    }
    entries = [
        CaseEntry(**common | {"kind": "case.opened", "by_id": "audit-trail", "alert_id": "a-1"}),
        CaseEntry(**common | {"kind": "case.assigned", "by_name": "Paul", "person": "rita"}),
        CaseEntry(**common | {"kind": "case.decided", "verdict": Verdict.JUSTIFIED, "seconds": 600}),
        CaseEntry(**common | {"kind": "case.some_later_kind"}),
    ]
    detail = CaseDetail(case=case(), history=entries, newest_alerts=[], as_of_position=9, next_entry=None)
    lines = [(each.who, each.text) for each in case_page(detail, viewer()).entries]
    assert lines == [
        ("Audit Trail", "opened the case for an alert"),
        ("Paul", "assigned the case to rita"),
        ("paul", "decided: justified, after 10 minutes of review"),
        ("paul", "some later kind"),
    ]


def test_rules_that_find_nothing_are_said_to_find_nothing() -> None:
    found = RuleList(
        rules=[
            rule(missing=("encounters", "staff")),
            rule(justified=1, policy_breaches=2, precision=2 / 3),
        ],
        switched_off=[
            SwitchedOffRule(rule="r-1", owner="p.officer", reason="the migration", until="2026-12-31")
        ],
        position=9,
        set_digest="d",
        fault="a.yaml, line 2: id: write a UUID",
        fault_since=datetime(2026, 3, 1, 10, 0, tzinfo=UTC),
        as_of_position=9,
    )
    explained = ExplainedAccesses(
        departments=[
            DepartmentAccesses(
                department="ward 1", accesses=200, explained=150, unexplained=50, share=0.75, by_rule=[]
            ),
            DepartmentAccesses(
                department=None, accesses=10, explained=0, unexplained=10, share=0.0, by_rule=[]
            ),
        ],
        accesses=210,
        explained=150,
        share=150 / 210,
        as_of_position=9,
    )
    text = render(rule_overview(found, [], explained, viewer(), 30)).decode()
    assert "Not evaluable: 1." in text
    assert "a.yaml, line 2: id: write a UUID" in text
    assert "not evaluable: load encounters, staff" in text
    assert "67 % of 3 cases" in text
    assert "nothing decided" in text
    assert "the migration" in text
    assert 'width="75.0"' in text
    assert "75 %" in text
    assert "no department known" in text
