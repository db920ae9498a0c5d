"""What is refused within an answer, or before there is one, is on record as every 401 and 403 is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from uuid import uuid4

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from audit_trail.embedded.broker import Broker
from domain.validation import encode_event
from tests.hospital import read
from tests.tokens import bearer
from tests.web.read_audit.recorded_server import AUDITOR, OnRecord, on_record


@pytest.fixture
def url(hospital_url: str) -> str:
    return hospital_url


@pytest.fixture
def served(url: str, broker: Broker, topic: str) -> Iterator[OnRecord]:
    with on_record(url, broker.bootstrap_servers, topic) as served:
        yield served


def test_a_report_in_the_name_of_another_is_on_record_also_among_others(served: OnRecord) -> None:
    forged = json.loads(encode_event(read(0)))
    headers = bearer("publisher", subject="a-service", sources=["another-service"])
    answer = served.client.post("/v1/events", json=[{"x": 1}, forged], headers=headers)
    assert answer.status_code == 422
    [denied] = served.events(1)
    assert (denied.type, denied.actor.id, denied.request and denied.request.status) == (
        "access.denied",
        "a-service",
        422,
    )
    assert denied.attributes["questions"] == [
        {"operation": "publish", "asked": {"sources": ["patient-service"], "types": ["record.read"]}}
    ]


def test_nor_is_it_lost_when_the_others_are_accepted(url: str, broker: Broker, topic: str) -> None:
    forged = json.loads(encode_event(read(0)))
    good = {**forged, "event_id": str(uuid4()), "source": {**forged["source"], "service": "another-service"}}
    headers = bearer("publisher", subject="a-service", sources=["another-service"])
    with on_record(url, broker.bootstrap_servers, topic, web={"topic": topic}) as served:
        answer = served.client.post("/v1/events", json=[forged, good, forged], headers=headers)
        assert (answer.status_code, answer.json()["accepted"], answer.json()["rejected"]) == (202, 1, 2)
        served.events(2)
    denied = [event for event in served.events(2) if event.type == "access.denied"]
    assert [event.actor.id for event in denied] == ["a-service"]


def test_a_forged_report_takes_no_id_from_an_own_one(url: str, broker: Broker, topic: str) -> None:
    forged = json.loads(encode_event(read(0)))
    own = {**forged, "source": {**forged["source"], "service": "another-service"}}
    headers = bearer("publisher", subject="a-service", sources=["another-service"])
    with on_record(url, broker.bootstrap_servers, topic, web={"topic": topic}) as served:
        answer = served.client.post("/v1/events", json=[forged, own], headers=headers)
        assert (answer.status_code, answer.json()["accepted"]) == (202, 1)
        assert answer.json()["events"][1] == {"index": 1, "event_id": own["event_id"]}


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        ("/v1/patients/18", "patient"),
        ("/v1/events?patient=18", "events"),
        ("/v1/event-counts?by=type&patient=18", "event_counts"),
        ("/v1/resources/Patient/18", "resource"),
        ("/v1/export?patient=18", "export"),
        ("/v1/export?table=patient_access&where=patient_id%3D18", "export"),
        ("/v1/events?resource_type=Patient&resource_id=18", "events"),
        ("/v1/resources/Patient/18%2F_history%2F2", "resource"),
        ("/v1/patients/18?wait_for_position=1000000&wait_seconds=0.1", "patient"),
        ("/v1/projections/patient/patient_access?patient_id=18", "table_rows"),
    ],
)
def test_who_tried_to_look_at_a_patient_is_found_by_the_patient(
    served: OnRecord, path: str, operation: str
) -> None:
    """As a resource: nothing was done with the patient's record, so it is not in what was done with it."""
    assert (
        served.client.get(path, headers=bearer("patient", subject="pat-17", patient="17")).status_code == 403
    )
    [denied] = served.events(1)
    assert (denied.type, denied.actor.id, denied.patients) == ("access.denied", "pat-17", ())
    assert ("Patient", "18") in [(each.type, each.id) for each in denied.resources]
    [question] = denied.attributes["questions"]
    assert question["operation"] == operation
    assert "18" in json.dumps(question["asked"])


@pytest.mark.parametrize(
    "beside",
    [
        'e: events(first: 1, filter: {types: ["bogus"]}) { nodes { type } }',
        "e: events(first: 1000) { nodes { type } }",
        "e: eventCounts(by: ACTOR) { events }",
        "e: events(first: 1, waitForPosition: 1000000, waitSeconds: 0.1) { nodes { type } }",
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_what_fails_beside_it_hides_no_attempt(served: OnRecord, beside: str, first: bool) -> None:
    attempt = 'p: patient(id: "18") { events } n: node(id: "UGF0aWVudEFjdGl2aXR5OjE5") { id }'
    query = f"{{ {attempt} {beside} }}" if first else f"{{ {beside} {attempt} }}"
    answer = served.graphql(query, **bearer("patient", subject="pat-17", patient="17"))
    assert answer.json()["data"] is None
    [denied] = [event for event in served.events(1) if event.type == "access.denied"]
    assert [each.id for each in denied.resources if each.type == "Patient"] == ["18", "19"]


def test_all_that_a_batch_refuses_is_one_attempt(served: OnRecord) -> None:
    batch = [{"query": f'{{ patient(id: "{id}") {{ events }} }}'} for id in ("18", "19")]
    headers = bearer("patient", subject="pat-17", patient="17")
    assert served.client.post("/graphql", json=batch, headers=headers).status_code == 200
    [denied] = served.events(1)
    assert denied.outcome_reason == "not allowed: patient"
    assert [each.id for each in denied.resources if each.type == "Patient"] == ["18", "19"]
    assert len(denied.attributes["questions"]) == 2


def test_all_that_a_graphql_answer_refuses_is_one_attempt(served: OnRecord) -> None:
    query = (
        '{ a: patient(id: "18") { events } patient(id: "19") { events } own: patient(id: "17") { events } }'
    )
    answer = served.graphql(query, **bearer("patient", subject="pat-17", patient="17"))
    assert (answer.status_code, answer.json()["data"]["a"]) == (200, None)
    found = served.events(2)
    [denied] = [event for event in found if event.type == "access.denied"]
    assert denied.request is not None
    assert (denied.request.status, denied.outcome_reason) == (200, "not allowed: a, patient")
    assert [each.id for each in denied.resources if each.type == "Patient"] == ["18", "19"]
    [told] = [event for event in found if event.type == "audit_log.read"]
    assert [patient.id for patient in told.patients] == ["17"]


def test_a_page_of_another_site_that_would_connect_is_on_record_with_whose_token(served: OnRecord) -> None:
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(
            f"ws://127.0.0.1:{served.port}/graphql",
            subprotocols=[Subprotocol("graphql-transport-ws")],
            additional_headers=AUDITOR,
            origin=Origin("https://elsewhere.example"),
        ),
    ):
        pass
    assert refused.value.response.status_code == 403
    [denied] = served.events(1)
    assert (denied.type, denied.actor.id, denied.request and denied.request.status) == (
        "access.denied",
        "p.paragraph",
        403,
    )
