"""Reads of alerts and cases are on record, with the patients that they disclosed; so are denied commands."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from audit_trail.embedded.broker import Broker
from tests.detection.live.logs import DELETION, READS, activate, detect, read_by
from tests.tokens import bearer
from tests.trail import Trail
from tests.web.read_audit.recorded_server import OnRecord, on_record, patients


@pytest.fixture
def served(trail: Trail, broker: Broker, topic: str) -> Iterator[OnRecord]:
    activate(trail, READS, DELETION)
    trail.append(*(read_by("ada", f"p-{n}") for n in range(3)))
    detect(trail)
    with on_record(trail.url, broker.bootstrap_servers, topic) as served:
        yield served


def test_alerts_and_their_evidence_are_on_record(served: OnRecord) -> None:
    [alert] = served.client.get("/v1/alerts?actor=ada").json()["alerts"]
    assert served.client.get(f"/v1/alerts/{alert['alert_id']}/events").status_code == 200
    query = "{ cases(first: 5) { nodes { caseId } } detectionRules { rules { title } } }"
    assert "errors" not in served.graphql(query).json()
    listed, evidence, cases = served.events(3)
    assert [each.type for each in (listed, evidence, cases)] == ["audit_log.read"] * 3
    assert listed.attributes["questions"][0] == {
        "operation": "alerts",
        "asked": {"actor": "ada", "limit": 50},
        "returned": 1,
    }
    assert sorted(patients(evidence)) == ["p-0", "p-1", "p-2"]
    assert [each["operation"] for each in cases.attributes["questions"]] == ["cases"]


def test_who_is_denied_is_on_record_too(served: OnRecord) -> None:
    clinician = bearer("clinician", subject="mallory")
    assert served.client.get("/v1/cases", headers=clinician).status_code == 403
    key = {"Idempotency-Key": str(uuid4())}
    answer = served.client.post(f"/v1/cases/{uuid4()}/comment", json={"text": "x"}, headers=clinician | key)
    assert answer.status_code == 403
    denied = served.events(1)
    assert {each.type for each in denied} == {"access.denied"}
    assert {each.actor.id for each in denied} == {"mallory"}
    asked = {question["operation"] for each in denied for question in each.attributes.get("questions", ())}
    assert asked <= {"cases", "case_command"}
    assert asked
