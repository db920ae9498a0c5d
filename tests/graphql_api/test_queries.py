"""What the schema answers from real read models."""

from __future__ import annotations

import base64
from typing import Any

from domain.event import Change, Resource
from queries.cursors import encode_cursor, encode_id
from queries.limits import QueryLimits
from queries.read_models import ReadModels
from tests.graphql_api.answers import POSITIONS, ask, codes, positions
from tests.graphql_api.conftest import Execute
from tests.hospital import event, read, record


def test_an_event_is_found_by_its_id_with_all_that_was_sent(execute: Execute, models: ReadModels) -> None:
    page = ask(
        execute, models, '{ events(first: 1, filter: {types: ["record.updated"]}) { nodes { id eventId } } }'
    )
    (found,) = page["events"]["nodes"]
    query = """query ($id: UUID!) { event(id: $id) {
      id position type category action outcome recordedAt occurredAt stream streamPosition
      actor { kind id name roles } patients { id } resources { type id }
      changes { path before after } attributes source { service } device { id }
    } }"""
    event = ask(execute, models, query, id=found["eventId"])["event"]
    assert event["id"] == found["id"]
    assert (event["position"], event["streamPosition"]) == (6, 6)
    assert (event["type"], event["category"], event["action"]) == ("record.updated", "DATA", "UPDATE")
    assert event["changes"] == [{"path": "phone", "before": "1", "after": {"home": ["2"]}}]
    assert event["attributes"] == {"big": 12345678901234567890123}
    assert event["actor"] == {"kind": "USER", "id": "ada", "name": "Ada Example", "roles": []}
    assert event["occurredAt"] == "2026-03-01T08:06:00+00:00"
    assert event["device"] is None


def test_conditions_are_combined(execute: Execute, models: ReadModels) -> None:
    def found(**filter: Any) -> list[int]:
        return positions(ask(execute, models, POSITIONS, first=100, filter=filter)["events"])

    assert found() == list(range(9, -1, -1))
    assert found(patient="17") == [6, 5, 3, 2]
    assert found(patient="17", actor="ada") == [6, 3, 2]
    assert found(patient="17", actor="ada", types=["record.read"]) == [3, 2]
    assert found(patient="17", actor="ada", correlationId="c-1") == [2]
    assert found(resourceType="Observation", user="bob", emergency=True) == [4]
    assert found(outcomes=["MINOR_FAILURE"], categories=["USER"], address="10.0.0.7") == [0]
    assert found(actions=["UPDATE", "READ"], occurredFrom="2026-03-01T08:05:00Z") == [6, 5]
    assert found(occurredFrom="2026-03-01T08:03:00Z", occurredUntil="2026-03-01T10:05:00+02:00") == [4, 3]
    assert found(device="pump-1") == [7]
    assert found(service="vitals", types=None) == [9, 8]
    assert found(purposes=["TREAT", "ETREAT"], session="s-1") == [3, 2]
    assert found(patient="nobody") == []


def test_events_come_in_the_order_that_is_asked_for(
    execute: Execute, models: ReadModels, hospital_url: str
) -> None:
    record(hospital_url, [read(1)])  # late: at 10, of the time of 1
    query = """query ($after: String, $order: EventOrder) {
      events(first: 4, after: $after, orderBy: $order) { edges { cursor node { position } } }
      patient(id: "17") { timeline(last: 1, orderBy: $order) { edges { node { position } } } }
    }"""

    def found(**order: str) -> tuple[list[int], list[int], list[int]]:
        first = ask(execute, models, query, order=order)
        after = first["events"]["edges"][-1]["cursor"]
        second = ask(execute, models, query, order=order, after=after)
        return (
            positions(first["events"]),
            positions(second["events"]),
            positions(first["patient"]["timeline"]),
        )

    assert found() == ([10, 9, 8, 7], [6, 5, 4, 3], [2])
    assert found(field="OCCURRED_AT") == ([9, 8, 7, 6], [5, 4, 3, 2], [10])
    assert found(direction="ASC") == ([0, 1, 2, 3], [4, 5, 6, 7], [10])
    assert found(field="OCCURRED_AT", direction="ASC") == ([0, 1, 10, 2], [3, 4, 5, 6], [6])


def test_events_are_counted_in_buckets(execute: Execute, models: ReadModels) -> None:
    query = """{
      eventCounts(by: TYPE, filter: {patient: "17"}) { buckets { key from until events } events asOfPosition }
      hours: eventCounts(by: HOUR, first: 5) { buckets { key from until events } bucketCount }
    }"""
    data = ask(execute, models, query)
    assert data["eventCounts"]["buckets"] == [
        {"key": "record.read", "from": None, "until": None, "events": 3},
        {"key": "record.updated", "from": None, "until": None, "events": 1},
    ]
    assert (data["eventCounts"]["events"], data["eventCounts"]["asOfPosition"]) == (4, 9)
    query = """{
      eventCounts(by: TYPE, filter: {patient: "17"}, distinct: [PATIENTS, ACTORS]) {
        buckets { key patients actors } patients actors
      }
      alone: eventCounts(by: TYPE, filter: {patient: "17"}, distinct: [ACTORS]) { patients actors }
    }"""
    distinct = ask(execute, models, query)
    assert distinct["eventCounts"] == {
        "buckets": [
            {"key": "record.read", "patients": 1, "actors": 2},
            {"key": "record.updated", "patients": 1, "actors": 1},
        ],
        "patients": 1,
        "actors": 2,
    }
    assert distinct["alone"] == {"patients": None, "actors": 2}
    [hour] = data["hours"]["buckets"]
    assert (hour["from"], hour["until"]) == ("2026-03-01T08:00:00+00:00", "2026-03-01T09:00:00+00:00")


def test_a_resource_has_a_history_field_by_field(
    execute: Execute, models: ReadModels, hospital_url: str
) -> None:
    change = (Change(path="phone", before="2", after="3"), Change(path="name", before="A", after="B"))
    record(
        hospital_url,
        [event("record.updated", 30, resources=(Resource(type="Patient", id="17"),), changes=change)],
    )
    query = """query ($path: String, $first: Int!, $after: String) { resource(type: "Patient", id: "17") {
      history(path: $path, first: $first, after: $after) {
        nodes { position eventId occurredAt actor { id name } path before after }
        pageInfo { hasNextPage endCursor } asOfPosition
    } } }"""
    first = ask(execute, models, query, first=2)["resource"]["history"]
    assert [(node["position"], node["path"]) for node in first["nodes"]] == [(10, "phone"), (10, "name")]
    after = first["pageInfo"]["endCursor"]
    second = ask(execute, models, query, first=2, after=after)["resource"]["history"]
    [node] = second["nodes"]
    assert (node["position"], node["before"], node["after"]) == (6, "1", {"home": ["2"]})
    assert node["actor"] == {"id": "ada", "name": "Ada Example"}
    assert second["pageInfo"] == {"hasNextPage": False, "endCursor": None}
    names = ask(execute, models, query, first=9, path="name")["resource"]["history"]
    assert [node["path"] for node in names["nodes"]] == ["name"]
    for wrong in ("x", encode_cursor(1), base64.urlsafe_b64encode(b"h1:99999999999999999999:0").decode()):
        assert codes(execute(models, query, first=2, after=wrong)) == ["BAD_CURSOR"]
    assert codes(execute(models, query, first=101)) == ["LIMIT_EXCEEDED"]


def test_each_change_of_a_history_has_a_cursor_from_which_the_next_page_starts(
    execute: Execute, models: ReadModels, hospital_url: str
) -> None:
    changes = tuple(Change(path=f"f{number}", before=number, after="x") for number in range(4))
    record(
        hospital_url,
        [event("record.updated", 30, resources=(Resource(type="Patient", id="17"),), changes=changes)],
    )
    query = """query ($after: String) { resource(type: "Patient", id: "17") { history(after: $after) {
      edges { cursor node { path before } } nodes { path before } pageInfo { startCursor } } } }"""
    every = ask(execute, models, query)["resource"]["history"]
    assert [edge["node"] for edge in every["edges"]] == every["nodes"]
    assert every["pageInfo"]["startCursor"] == every["edges"][0]["cursor"]
    assert len(every["edges"]) == 5
    for number, edge in enumerate(every["edges"], 1):
        rest = ask(execute, models, query, after=edge["cursor"])["resource"]["history"]
        assert rest["edges"] == every["edges"][number:]


def test_nodes_are_found_together_in_the_order_of_their_ids(execute: Execute, models: ReadModels) -> None:
    data = ask(execute, models, '{ patient(id: "17") { id timeline(first: 1) { nodes { id } } } }')
    patient, shown = data["patient"]["id"], data["patient"]["timeline"]["nodes"][0]["id"]
    nobody = encode_id("UserActivity", "nobody")
    query = """query ($ids: [ID!]!) { nodes(ids: $ids) {
      __typename id ... on Event { position } ... on PatientActivity { patientId } } }"""
    assert ask(execute, models, query, ids=[shown, nobody, patient, shown])["nodes"] == [
        {"__typename": "Event", "id": shown, "position": 6},
        None,
        {"__typename": "PatientActivity", "id": patient, "patientId": "17"},
        {"__typename": "Event", "id": shown, "position": 6},
    ]
    assert ask(execute, models, query, ids=[])["nodes"] == []
    assert codes(execute(models, query, ids=[patient, "x"])) == ["BAD_USER_INPUT"]
    assert codes(execute(models, query, ids=[patient] * 101)) == ["LIMIT_EXCEEDED"]
    together = "query ($ids: [ID!]!) { a: nodes(ids: $ids) { id } b: nodes(ids: $ids) { id } }"
    limits = QueryLimits(max_events=100)
    assert "LIMIT_EXCEEDED" in codes(execute(models, together, ids=[patient] * 60, limits=limits))


def test_filters_hold_filters(execute: Execute, models: ReadModels) -> None:
    def found(**filter: Any) -> list[int]:
        return positions(ask(execute, models, POSITIONS, first=100, filter=filter)["events"])

    assert found(patientIn=["17", "18"]) == [6, 5, 4, 3, 2]
    assert found(patient="17", **{"not": {"actor": "ada"}}) == [5]
    assert found(**{"or": [{"device": "pump-1"}, {"service": "vitals", "types": ["api.called"]}]}) == [9, 7]
    assert found(**{"and": [{"typePrefix": "record."}, {"not": {"purposes": ["TREAT"]}}]}) == [6, 5, 4]
    assert found(positionFrom=3, positionUntil=5, actorPrefix="b") == [4]


def test_pages_lead_through_the_trail_in_both_directions(execute: Execute, models: ReadModels) -> None:
    seen: list[int] = []
    after = None
    while True:
        page = ask(execute, models, POSITIONS, first=4, after=after)["events"]
        seen += positions(page)
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert seen == list(range(9, -1, -1))
    back = ask(execute, models, POSITIONS, last=4, before=after)["events"]
    assert positions(back) == [4, 3, 2, 1]
    assert back["pageInfo"]["hasPreviousPage"]
    assert positions(ask(execute, models, POSITIONS, last=3)["events"]) == [2, 1, 0]


def test_a_page_stays_the_same_while_events_arrive(
    execute: Execute, models: ReadModels, hospital_url: str
) -> None:
    first = ask(execute, models, POSITIONS, first=3)["events"]
    record(hospital_url, [read(20)])
    cursor = first["pageInfo"]["endCursor"]
    after = ask(execute, models, POSITIONS, first=3, after=cursor)["events"]
    assert (positions(first), positions(after)) == ([9, 8, 7], [6, 5, 4])
    assert (first["asOfPosition"], after["asOfPosition"]) == (9, 10)


def test_subjects_have_a_summary_and_a_timeline(execute: Execute, models: ReadModels) -> None:
    query = """{
      patient(id: "17") { id events accesses { actorId accesses purposes }
        timeline(first: 2, filter: {actor: "ada"}) { nodes { position } } }
      user(id: "ada") { logins failedLogins sessions { session } patients { patientId } actions { type events }
        timeline(last: 1) { nodes { type } } }
      device(id: "pump-1") { name softwareVersions { version } configuration { path before after actorId } }
      service(name: "vitals") { restarts apiUse { calls failures } timeline(first: 9) { nodes { position } } }
      resource(type: "Observation", id: "o-18") { type resourceId timeline(first: 9) { nodes { position } } }
      projections { name position lag state live }
      nobody: patient(id: "99") { events }
    }"""
    data = ask(execute, models, query)
    assert data["patient"]["events"] == 4
    assert {a["actorId"]: a["accesses"] for a in data["patient"]["accesses"]} == {"ada": 3, "bob": 1}
    assert data["patient"]["timeline"]["nodes"] == [{"position": 6}, {"position": 3}]
    assert (data["user"]["logins"], data["user"]["failedLogins"]) == (1, 1)
    assert data["user"]["timeline"]["nodes"] == [{"type": "user.login_failed"}]
    assert data["device"]["configuration"] == [{"path": "limit", "before": 5, "after": 7, "actorId": "ada"}]
    assert data["service"]["restarts"] == 1
    assert data["service"]["apiUse"] == [{"calls": 1, "failures": 1}]
    assert data["resource"]["timeline"]["nodes"] == [{"position": 4}]
    assert {(p["position"], p["lag"], p["state"], p["live"]) for p in data["projections"]} == {
        (9, 0, "running", True)
    }
    assert data["nobody"] is None


def test_every_node_is_found_again_by_its_id(execute: Execute, models: ReadModels) -> None:
    query = """{
      events(first: 1) { nodes { id } } patient(id: "17") { id } user(id: "ada") { id }
      device(id: "pump-1") { id } service(name: "vitals") { id } resource(type: "Patient", id: "17") { id }
    }"""
    data = ask(execute, models, query)
    ids = [data["events"]["nodes"][0]["id"], *(data[name]["id"] for name in data if name != "events")]
    assert len(set(ids)) == 6
    kinds = []
    for id in ids:
        node = ask(execute, models, "query ($id: ID!) { node(id: $id) { __typename id } }", id=id)["node"]
        assert node["id"] == id
        kinds.append(node["__typename"])
    assert sorted(kinds) == [
        "DeviceActivity", "Event", "PatientActivity", "ResourceActivity", "ServiceActivity", "UserActivity",
    ]  # fmt: skip


def test_a_timeline_is_not_led_to_another_subject(execute: Execute, models: ReadModels) -> None:
    query = '{ patient(id: "17") { timeline(first: 1, filter: {patient: "18"}) { asOfPosition } } }'
    result = execute(models, query)
    assert result.errors is not None
    assert codes(result) == ["BAD_USER_INPUT"]
