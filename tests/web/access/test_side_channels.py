"""What could be told beside an answer: by an error, by what is waited for, by whom a subscription lets in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest

from tests.tokens import bearer
from tests.web.graphql.subscribers import PROJECTIONS, Served, received

PATIENT = bearer("patient", subject="p17", patient="17")


@pytest.fixture
def served(hospital_url: str) -> Iterator[Served]:
    with ExitStack() as stack:
        yield Served(hospital_url, stack)


@pytest.mark.parametrize(
    ("role", "told"), [("publisher", False), ("patient", False), ("auditor", True), ("operator", True)]
)
def test_who_may_not_read_the_status_does_not_follow_the_projections(
    served: Served, role: str, told: bool
) -> None:
    with served.open(headers=bearer(role)) as socket:
        socket.send('{"type": "connection_init"}')
        received(socket)
        asked = {"type": "subscribe", "id": "1", "payload": {"query": PROJECTIONS}}
        socket.send(json.dumps(asked))
        answer = received(socket)["payload"]
        assert ("projectionAdvanced" in (answer.get("data") or {})) is told
        assert ("FORBIDDEN" in str(answer)) is not told


@pytest.mark.parametrize(
    "path",
    [
        "/v1/projections/{}/user_action?min_position=999999",
        "/v1/projections/{}/user_action?first=0",
        "/v1/projections/{}/user_action?after=nonsense",
        "/v1/projections/{}?wait_for_position=999999&wait_seconds=0",
        "/v1/export?table={}",
        "/v1/export?table={}&where=nothing%3D1",
    ],
)
def test_whether_a_projection_is_there_is_not_told_to_who_may_not_read_it(served: Served, path: str) -> None:
    with httpx2.Client(base_url=served.client.base_url, headers=PATIENT, timeout=30) as patient:
        answers = [patient.get(path.format(name)) for name in ("user", "no_such")]
        assert answers[0].status_code == answers[1].status_code
        assert answers[0].content == answers[1].content


@pytest.mark.parametrize(
    "query",
    [
        '{ patient(id: "%s", waitForPosition: 99999, waitSeconds: 0) { events } }',
        '{ user(id: "%s") { events } }',
        '{ projection(name: "%s", minPosition: 99999) { name } }',
        '{ device(id: "%s") { events } }',
        '{ resource(type: "Observation", id: "%s") { firstSeen } }',
        '{ events(first: 1, filter: {patient: "%s"}) { nodes { id } } }',
        '{ events(first: 1, filter: {not: {actor: "%s"}}) { nodes { id } } }',
        '{ eventCounts(by: DAY, filter: {patient: "%s"}) { events } }',
    ],
)
def test_an_error_is_the_same_whether_what_was_asked_for_is_there_or_not(served: Served, query: str) -> None:
    def errors(name: str) -> Any:
        answer = httpx2.post(
            f"{served.client.base_url}/graphql", json={"query": query % name}, headers=PATIENT
        )
        found = answer.json()["errors"]
        assert found[0]["extensions"]["code"] in {"FORBIDDEN", "POSITION_NOT_REACHED"}
        return found

    for there in ("18", "ada", "pump-1", "o-18", "user"):
        assert errors(there) == errors("nobody")


@pytest.mark.parametrize(
    "query",
    [
        '{ patient(id: "17", minPosition: 99999) { events } }',
        '{ user(id: "ada", waitForPosition: 99999, waitSeconds: 0) { events } }',
        '{ device(id: "pump-1", minPosition: 99999) { events } }',
        '{ service(name: "vitals", minPosition: 99999) { state } }',
        '{ resource(type: "Observation", id: "o-18", minPosition: 99999) { firstSeen } }',
    ],
)
def test_how_far_the_trail_is_is_not_told_to_who_only_writes_it(served: Served, query: str) -> None:
    answer = httpx2.post(
        f"{served.client.base_url}/graphql", json={"query": query}, headers=bearer("publisher")
    )
    [error] = answer.json()["errors"]
    assert error["extensions"] == {"code": "FORBIDDEN"}


@pytest.mark.parametrize(
    "path",
    [
        "patients/17",
        "users/ada",
        "devices/pump-1/configuration",
        "resources/Observation/o-18",
        "resources/Observation/o-18/changes",
    ],
)
def test_no_summary_tells_how_far_the_trail_is_to_who_only_writes_it(served: Served, path: str) -> None:
    answer = httpx2.get(f"{served.client.base_url}/v1/{path}?min_position=99999", headers=bearer("publisher"))
    assert answer.status_code == 403
