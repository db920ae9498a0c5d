"""Alerts and cases over HTTP: who reads them, and what becomes of commands."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from audit_trail.cases.worker import CaseWorker
from detection.cases.case_book import CaseBook
from detection.live.projector import DetectionProjector
from domain.access.principal import Role
from projections.runner import Runner
from tests.queries.detection.given_detection import GivenDetection
from tests.signing import TEXT
from tests.tokens import bearer
from tests.trail import Trail
from tests.waiting import eventually
from tests.web.conftest import Serve
from web.rest import commands

OFFICER = bearer("privacy_officer", subject="paul")
READS = (
    "/v1/alerts",
    "/v1/alerts/{alert}",
    "/v1/alerts/{alert}/events",
    "/v1/cases",
    "/v1/cases/{case}",
    "/v1/detection/rules",
    "/v1/detection/rules/6a3b1a52-0f2f-4e0e-8ff5-6c2f5a1f7c14",
    "/v1/detection/activations",
    "/v1/detection/explained",
    "/v1/suppressions",
)
SEE = {Role.AUDITOR, Role.PRIVACY_OFFICER, Role.SECURITY_OFFICER, Role.REVIEWER, Role.ADMIN}


class Installation:
    """A server, and what carries out commands beside it, on a trail in which rules have found two things."""

    def __init__(self, trail: Trail, client: httpx2.Client, worker: CaseWorker) -> None:
        self.trail = trail
        self.client = client
        self.worker = worker
        self.given = GivenDetection(trail, worker)
        self.given.given()
        [alert] = self.given.alerts(actor="eve")
        self.alert, self.case = alert.alert_id, str(alert.case_id)

    def get(self, path: str, headers: dict[str, str] = OFFICER) -> httpx2.Response:
        return self.client.get(path.format(alert=self.alert, case=self.case), headers=headers)

    def post(
        self, path: str, body: Any, headers: dict[str, str] = OFFICER, key: UUID | None = None
    ) -> httpx2.Response:
        given = headers | {"Idempotency-Key": str(key or uuid4())}
        return self.client.post(path.format(case=self.case), json=body, headers=given)

    def project(self) -> None:
        Runner(self.trail.projector, [DetectionProjector()]).catch_up()


@pytest.fixture
def installation(trail: Trail, serve: Serve) -> Iterator[Installation]:
    with ExitStack() as stack:
        book = stack.enter_context(closing(CaseBook(trail.url, TEXT)))
        worker = CaseWorker(trail.ingest, book)
        made = Installation(trail, serve(trail.url), worker)
        worker.start()
        stack.callback(worker.stop)
        yield made


def test_each_role_reads_all_or_is_denied(installation: Installation) -> None:
    for role in Role:
        for path in READS:
            answer = installation.get(path, bearer(role.value))
            assert answer.status_code == (200 if role in SEE else 403), (role, path, answer.text)


def test_alerts_are_listed_with_links_to_the_next_page(installation: Installation) -> None:
    page = installation.get("/v1/alerts?first=1").json()
    assert [each["actor"] for each in page["alerts"]] == ["ada"]
    second = installation.get(page["next"]).json()
    assert [each["actor"] for each in second["alerts"]] == ["eve"]
    assert second["next"] is None
    assert installation.get("/v1/cases?level=critical").json()["cases"] == []
    assert len(installation.get("/v1/cases?level=high").json()["cases"]) == 1
    high = installation.get("/v1/alerts?level=high&handling=open_case&suppressed=false").json()
    assert [each["alert_id"] for each in high["alerts"]] == [installation.alert]
    assert installation.get("/v1/alerts/{alert}").json() == high["alerts"][0]
    [event] = installation.get("/v1/alerts/{alert}/events").json()["events"]
    assert event["event"]["type"] == "record.deleted"
    for path in ("/v1/alerts?after=cDE6MQ", "/v1/alerts?level=worst", "/v1/alerts?who=me"):
        assert installation.get(path).status_code == 400, path
    for path in (f"/v1/alerts/{uuid4()}", f"/v1/cases/{uuid4()}", f"/v1/detection/rules/{uuid4()}"):
        assert installation.get(path).status_code == 404, path
    behind = installation.get("/v1/alerts?min_position=100000")
    assert behind.status_code == 409


def test_a_case_is_worked_on_by_commands(installation: Installation) -> None:
    post = installation.post
    steps: list[tuple[str, dict[str, Any], dict[str, str]]] = [
        ("assign", {"assignee": {"id": "paul"}}, OFFICER),
        ("comment", {"text": "The roster says nothing."}, OFFICER),
        ("ask", {"employee": {"id": "eve"}, "question": "Why?"}, OFFICER),
        ("answer", {"answer": "A double entry."}, bearer("clinician", subject="eve")),
        ("decide", {"verdict": "justified", "reason": "A double entry.", "seconds": 60}, OFFICER),
        ("reopen", {"reason": "There was none."}, OFFICER),
    ]
    positions = []
    for name, body, headers in steps:
        answer = post(f"/v1/cases/{{case}}/{name}", body, headers)
        assert (answer.status_code, answer.json()["state"]) == (200, "done"), answer.text
        positions.append(answer.json()["position"])
    installation.project()
    case = installation.get(f"/v1/cases/{{case}}?wait_for_position={positions[-1]}").json()
    assert [each["kind"].removeprefix("case.") for each in case["history"]] == [
        *("opened", "assigned", "commented", "employee_asked", "employee_answered", "decided", "reopened")
    ]
    assert case["case"]["state"] == "open"


def test_an_employee_sees_the_question_alone(installation: Installation) -> None:
    eve = bearer("clinician", subject="eve")
    installation.post("/v1/cases/{case}/ask", {"employee": {"id": "eve"}, "question": "Why?"})
    installation.project()
    [question] = installation.get("/v1/own-questions", eve).json()["questions"]
    assert (question["case_id"], question["question"]) == (installation.case, "Why?")
    assert installation.get("/v1/cases/{case}", eve).status_code == 403
    mallory = bearer("clinician", subject="mallory")
    assert installation.get("/v1/own-questions", mallory).json() == {"questions": []}
    denied = installation.post("/v1/cases/{case}/answer", {"answer": "It was me."}, mallory)
    assert denied.status_code == 403


def test_of_two_officers_who_decide_at_once_one_is_told_that_the_case_is_decided(
    installation: Installation,
) -> None:
    answers: list[httpx2.Response] = []

    def decide(officer: str, verdict: str) -> None:
        body = {"verdict": verdict, "reason": "as I see it"}
        answers.append(
            installation.post("/v1/cases/{case}/decide", body, bearer("privacy_officer", subject=officer))
        )

    officers = [
        threading.Thread(target=decide, args=pair)
        for pair in (("paul", "justified"), ("petra", "policy_breach"))
    ]
    for each in officers:
        each.start()
    for each in officers:
        each.join()
    assert sorted(each.status_code for each in answers) == [200, 409]
    [refused] = [each for each in answers if each.status_code == 409]
    assert "this case is decided" in refused.json()["detail"]


def test_the_same_key_is_carried_out_once(installation: Installation) -> None:
    key, body = uuid4(), {"text": "once"}
    first, second = (installation.post("/v1/cases/{case}/comment", body, key=key) for _ in range(2))
    assert first.json() == second.json()
    other = installation.post("/v1/cases/{case}/comment", {"text": "twice"}, key=key)
    assert (other.status_code, "command id was used" in other.json()["detail"]) == (409, True)
    assert installation.get(f"/v1/case-commands/{key}").json() == first.json()
    assert installation.get(f"/v1/case-commands/{key}", bearer("auditor")).status_code == 404


def test_cases_and_suppressions_are_created_with_an_address(installation: Installation) -> None:
    wanted = {"actor": "bob", "title": "A complaint", "level": "low", "reason": "A patient called."}
    key = uuid4()
    opened = installation.post("/v1/cases", wanted, key=key)
    assert opened.status_code == 201, opened.text
    assert installation.post("/v1/cases", wanted, key=key).json() == opened.json()
    installation.project()
    shown = installation.get(opened.headers["location"]).json()["case"]
    assert (shown["actor"], shown["opened_by"]) == ("bob", "paul")
    suppress = {
        "rule_id": "6a3b1a52-0f2f-4e0e-8ff5-6c2f5a1f7c14",
        "owner": {"id": "paul"},
        "reason": "the migration",
        "expires_at": "2020-01-01T00:00:00Z",
    }
    assert installation.post("/v1/suppressions", suppress).status_code == 409
    soon = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    made = installation.post("/v1/suppressions", suppress | {"expires_at": soon, "match": {"actor.id": "x"}})
    assert made.status_code == 201, made.text
    unknown = suppress | {"expires_at": soon, "rule_id": str(uuid4())}
    refused = installation.post("/v1/suppressions", unknown)
    assert (refused.status_code, "/v1/detection/rules" in refused.text) == (409, True)
    ended = installation.post(f"/v1/suppressions/{made.json()['target']}/end", {"reason": "it is over"})
    assert ended.status_code == 200
    installation.project()
    [listed] = installation.get("/v1/suppressions").json()["suppressions"]
    assert (listed["end_reason"], listed["active"]) == ("it is over", False)


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("/v1/cases/{case}/comment", {"text": " "}, 400, "text"),
        ("/v1/cases/{case}/comment", {}, 400, ""),
        ("/v1/cases/{case}/comment", {"text": "x", "kind": "comment"}, 400, "kind"),
        ("/v1/cases/{case}/comment", [], 400, ""),
        ("/v1/cases/{case}/decide", {"verdict": "guilty", "reason": "x"}, 400, "verdict"),
        ("/v1/cases/{case}/reopen", {"reason": "x"}, 409, ""),
        ("/v1/cases/00000000-0000-0000-0000-00000000dead/comment", {"text": "x"}, 404, None),
        ("/v1/cases/{case}/delete", {}, 404, None),
    ],
)
def test_what_is_wrong_is_refused_with_the_reason(
    installation: Installation, path: str, body: Any, status: int, field: str | None
) -> None:
    answer = installation.post(path, body)
    assert answer.status_code == status, answer.text
    if field is not None:
        assert answer.json()["errors"][0]["field"] == field


def test_a_command_needs_a_role_a_key_and_json(installation: Installation) -> None:
    body = {"text": "x"}
    assert installation.post("/v1/cases/{case}/comment", body, bearer("auditor")).status_code == 403
    path = f"/v1/cases/{installation.case}/comment"
    without = installation.client.post(path, json=body, headers=OFFICER)
    assert (without.status_code, without.json()["errors"][0]["field"]) == (400, "Idempotency-Key")
    key = {"Idempotency-Key": str(uuid4())}
    assert installation.client.post(path, data={"text": "x"}, headers=OFFICER | key).status_code == 415
    about_himself = bearer("reviewer", subject="eve")
    assert installation.get("/v1/cases/{case}", about_himself).status_code == 404
    assert installation.post("/v1/cases/{case}/comment", body, about_himself).status_code == 404


def test_without_a_worker_the_answer_says_where_to_ask_later(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.worker.stop()
    monkeypatch.setattr(commands, "SECONDS", 0.1)
    answer = installation.post("/v1/cases/{case}/comment", {"text": "x"})
    assert (answer.status_code, answer.json()["state"]) == (202, "waiting")
    place = answer.headers["location"]
    assert installation.get(place).json()["state"] == "waiting"
    with (
        closing(CaseBook(installation.trail.url, TEXT)) as book,
        closing(CaseWorker(installation.trail.ingest, book)) as worker,
    ):
        eventually(worker.step)
    assert installation.get(place).json()["state"] == "done"
