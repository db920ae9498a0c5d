"""What may be published and decided over HTTP, and by a command."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from audit_trail.embedded.broker import Broker
from domain.access.principal import Role
from domain.access.staff_disclosure import Decision, decision_of
from domain.validation import decode_event
from tests.audit_trail.programs import run
from tests.hospital import at
from tests.tokens import bearer
from tests.web.access.secret_trail import header
from tests.web.rest.publishing import native, published

DECIDING = "/v1/patients/17/staff-disclosure"
OFFICER = header(Role.PRIVACY_OFFICER)


def test_a_decision_is_an_event_of_the_trail(
    publishing_client: httpx2.Client, broker: Broker, topic: str
) -> None:
    until = "2037-01-01T00:00:00+00:00"
    said = {"names": True, "reason": "a claim", "until": until}
    answer = publishing_client.post("/v1/patients/a%2F17/staff-disclosure", json=said, headers=OFFICER)
    assert answer.status_code == 202, answer.text
    [(value, _)] = published(broker, topic, 1)
    event = decode_event(value)
    assert answer.json() == {"event_id": str(event.event_id)}
    assert (event.type, event.reason, event.actor.id) == ("staff_disclosure.decided", "a claim", "tester")
    assert [patient.id for patient in event.patients] == ["a/17"]
    decision = decision_of(event)
    assert decision is not None
    assert decision.until is not None
    assert (decision.names, decision.until.isoformat()) == (True, until)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"names": True}, ""),
        ({"names": "yes", "reason": "a claim"}, "names"),
        ({"names": True, "reason": "  "}, "reason"),
        ({"names": True, "reason": ""}, "reason"),
        ({"names": True, "reason": "a\0claim"}, "reason"),
        ({"names": True, "reason": "a claim", "until": "2037-01-01T00:00:00"}, "until"),
        ({"names": True, "reason": "a claim", "who": "me"}, ""),
        ([], ""),
    ],
)
def test_a_decision_that_says_too_little_is_refused(
    lonely_client: httpx2.Client, body: Any, field: str
) -> None:
    answer = lonely_client.post(DECIDING, json=body, headers=OFFICER)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == field


def test_a_decision_that_is_over_already_is_refused(lonely_client: httpx2.Client) -> None:
    body = {"names": True, "reason": "a claim", "until": "2020-01-01T00:00:00Z"}
    answer = lonely_client.post(DECIDING, json=body, headers=OFFICER)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (409, "until")


def test_what_is_decided_of_a_patient_is_no_patient(lonely_client: httpx2.Client) -> None:
    for method in ("GET", "OPTIONS", "DELETE"):
        answer = lonely_client.request(method, DECIDING, headers=OFFICER)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST"), method


def test_a_decision_has_to_be_json(lonely_client: httpx2.Client) -> None:
    json_header = OFFICER | {"Content-Type": "application/json"}
    assert lonely_client.post(DECIDING, content=b"{", headers=json_header).status_code == 400
    assert lonely_client.post(DECIDING, data={"names": "true"}, headers=OFFICER).status_code == 415


def test_a_command_decides_too(broker: Broker, topic: str) -> None:
    settings = {"kafka_bootstrap_servers": broker.bootstrap_servers, "kafka_topics": topic}
    settings["database_url"] = "postgresql://localhost:1/none"
    asked = ["access", "decide", "--patient", "17", "--reason", "settled"]
    done = run(*asked, "--names", "--until", "2037-01-01", settings=settings)
    assert done.returncode == 0, done.stderr
    [(value, _)] = published(broker, topic, 1)
    event = decode_event(value)
    assert str(event.event_id) in done.stdout
    assert decision_of(event) == Decision(names=True, until=at(0).replace(year=2037, month=1, day=1, hour=0))
    assert [patient.id for patient in event.patients] == ["17"]
    for wrong in ("2020-01-01", "soon", ""):
        refused = run(*asked, "--names", "--until", wrong, settings=settings)
        assert (refused.returncode, "--until" in refused.stderr) == (2, True)
    assert run(*asked, settings=settings).returncode == 2


def test_a_publisher_reports_as_its_own_services_alone(
    publishing_client: httpx2.Client, broker: Broker, topic: str
) -> None:
    own = bearer("publisher", sources=["authentication"])
    items = [native(), native(source={"service": "other"}), native(type="audit_log.read"), {}]
    answer = publishing_client.post("/v1/events", json=items, headers=own)
    assert answer.status_code == 202
    found = answer.json()
    assert (found["accepted"], found["rejected"]) == (1, 3)
    refused = "not allowed with these credentials"
    assert [each.get("message") == refused for each in found["events"]] == [False, True, True, False]
    assert [json.loads(value)["event_id"] for value, _ in published(broker, topic, 1)] == [
        items[0]["event_id"]
    ]
    answer = publishing_client.post("/v1/events", json=items[1:3], headers=own)
    assert (answer.status_code, answer.json()["detail"]) == (403, refused)


def test_ids_of_a_token_that_no_event_can_hold_give_nothing(client: httpx2.Client) -> None:
    for patient in ("1\x007", "\ud800", "", "x" * 257, ["\x00"]):
        answer = client.get("/v1/events", headers=bearer("patient", patient=patient))
        assert answer.status_code == 403, answer.text
