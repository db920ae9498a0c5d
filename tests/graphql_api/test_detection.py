"""Alerts, cases, rules and suppressions through the schema."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from domain.access.principal import Principal, Role
from domain.cases.commands import AskEmployee, Comment, Decide, Person, Verdict
from queries.read_models import ReadModels
from tests.detection.live.logs import deletion
from tests.graphql_api.answers import ask, codes
from tests.graphql_api.conftest import Execute
from tests.queries.detection.given_detection import GivenDetection, given_detection
from tests.trail import Trail

ALERTS = """query ($first: Int!, $after: String, $filter: AlertFilter) {
  alerts(first: $first, after: $after, filter: $filter) {
    asOfPosition
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    edges { cursor node { alertId position title level kind group { name value } actor events positions reasons
      caseId caseState verdict suppressedBy raisedAt begins ends final ruleId ruleDigest } }
    nodes { alertId }
  }
}"""
CASES = """query ($filter: CaseFilter) {
  cases(first: 5, filter: $filter) { nodes { caseId actor state verdict level alerts } pageInfo { hasNextPage } }
}"""
CASE = """query ($id: ID!, $after: Long) {
  case(id: $id, first: 2, afterPosition: $after) {
    case { title state } history { position kind text byId } newestAlerts { actor } nextEntry
  }
}"""
RULES = """{
  detectionRules { rules { title level alerts openCases policyBreaches precision missing } switchedOff { rule owner } }
  suppressions(first: 5, active: true) { nodes { reason } pageInfo { endCursor } }
  explainedAccesses(since: "2026-01-01T00:00:00Z", until: "2026-02-01T00:00:00Z") {
    accesses share departments { share }
  }
}"""


@pytest.fixture
def found(trail: Trail) -> Iterator[GivenDetection]:
    with given_detection(trail) as detection:
        detection.given()
        yield detection


def test_alerts_are_pages_that_follow_each_other(found: GivenDetection, execute: Execute) -> None:
    models = found.trail.read
    first = ask(execute, models, ALERTS, first=1)["alerts"]
    [edge] = first["edges"]
    assert first["pageInfo"] == {
        "hasNextPage": True,
        "hasPreviousPage": False,
        "startCursor": edge["cursor"],
        "endCursor": edge["cursor"],
    }
    assert (edge["node"]["actor"], edge["node"]["positions"], edge["node"]["level"]) == (
        "ada",
        [2, 3, 4],
        "MEDIUM",
    )
    assert edge["node"]["group"] == [{"name": "actor.id", "value": "ada"}]
    assert (edge["node"]["caseState"], edge["node"]["kind"]) == ("OPEN", "MATCH")
    second = ask(execute, models, ALERTS, first=1, after=edge["cursor"])["alerts"]
    assert [each["node"]["actor"] for each in second["edges"]] == ["eve"]
    assert not second["pageInfo"]["hasNextPage"]
    high = ask(execute, models, ALERTS, first=9, filter={"level": "HIGH", "handling": "OPEN"})["alerts"]
    assert [each["alertId"] for each in high["nodes"]] == [second["edges"][0]["node"]["alertId"]]
    one = ask(execute, models, f'{{ alert(id: "{high["nodes"][0]["alertId"]}") {{ title }} }}')
    assert one == {"alert": {"title": "A record was deleted"}}


def test_a_case_has_its_story(found: GivenDetection, execute: Execute) -> None:
    models, id = found.trail.read, found.case_of("eve").case_id
    found.carried_out(id, Comment(text="The roster says nothing."))
    found.carried_out(id, AskEmployee(employee=Person(id="tester"), question="Why?"))
    assert ask(execute, models, "{ ownQuestions { caseId question } }") == {
        "ownQuestions": [{"caseId": id, "question": "Why?"}]
    }
    shown = ask(execute, models, CASE, id=id)["case"]
    assert [each["kind"] for each in shown["history"]] == ["case.opened", "case.commented"]
    assert shown["newestAlerts"] == [{"actor": "eve"}]
    rest = ask(execute, models, CASE, id=id, after=shown["nextEntry"])["case"]
    assert [each["text"] for each in rest["history"]] == ["Why?"]
    found.carried_out(id, Decide(verdict=Verdict.POLICY_BREACH, reason="none given"))
    [decided] = ask(execute, models, CASES, filter={"state": "DECIDED"})["cases"]["nodes"]
    assert (decided["actor"], decided["verdict"], decided["alerts"]) == ("eve", "POLICY_BREACH", 1)
    rules = ask(execute, models, RULES)
    assert [each["precision"] for each in rules["detectionRules"]["rules"]] == [1.0, None]
    assert rules["suppressions"] == {"nodes": [], "pageInfo": {"endCursor": None}}
    assert rules["explainedAccesses"] == {"accesses": 0, "share": None, "departments": []}


def test_who_may_not_read_cases_is_denied_each_field(found: GivenDetection, execute: Execute) -> None:
    clinician = found.models(Principal(id="ada", roles=frozenset({Role.CLINICIAN}), actors=("ada",)))
    for query in (ALERTS, CASES, CASE, RULES):
        result = execute(clinician, query, first=1, id="x")
        assert set(codes(result)) == {"FORBIDDEN"}
    assert execute(clinician, "{ ownQuestions { question } }").data == {"ownQuestions": []}


def test_wrong_arguments_are_named(unread: ReadModels, execute: Execute) -> None:
    for variables, code in (
        ({"first": 0}, "BAD_USER_INPUT"),
        ({"first": 101}, "LIMIT_EXCEEDED"),
        ({"first": 1, "after": "x"}, "BAD_CURSOR"),
    ):
        assert codes(execute(unread, ALERTS, **variables)) == [code]
    dear = "{ " + " ".join(f"a{n}: detectionRules {{ rules {{ title }} }}" for n in range(100)) + " }"
    assert codes(execute(unread, dear)) == ["LIMIT_EXCEEDED"]


def test_a_page_of_rare_alerts_goes_on_after_the_last_one_that_was_looked_at(
    found: GivenDetection, execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    found.trail.append(*(deletion("busy") for _ in range(9)))
    found.detect()
    monkeypatch.setattr("queries.detection.alerts.WALK", 4)
    after, seen, pages = None, [], 0
    while True:
        page = ask(
            execute,
            found.trail.read,
            ALERTS,
            first=5,
            after=after,
            filter={"level": "MEDIUM", "kind": "LATE"},
        )
        pages += 1
        seen += page["alerts"]["nodes"]
        if not page["alerts"]["pageInfo"]["hasNextPage"]:
            break
        after = page["alerts"]["pageInfo"]["endCursor"]
    assert (seen, pages) == ([], 3)
