"""What the schema answers from real read models."""

from __future__ import annotations

import base64
import json
from contextlib import closing
from typing import Any
from uuid import UUID

import pytest
from strawberry.types import ExecutionResult

from domain.event import Change, RecordedEvent, Resource
from event_store.database import READER, Database
from graphql_api.execution.json_response import encode
from queries.cursors import encode_cursor, encode_id
from queries.filters import EventFilter
from queries.limits import QueryLimits
from queries.read_models import ReadModels
from tests.graphql_api.conftest import Execute
from tests.hospital import event, read, record

POSITIONS = """query ($first: Int, $after: String, $last: Int, $before: String, $filter: EventFilter) {
  events(first: $first, after: $after, last: $last, before: $before, filter: $filter) {
    asOfPosition
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    edges { cursor node { position } }
  }
}"""


def positions(connection: dict[str, Any]) -> list[int]:
    return [edge["node"]["position"] for edge in connection["edges"]]


def codes(result: ExecutionResult) -> list[object]:
    """What went wrong, in the order of the errors."""
    return [(error.extensions or {}).get("code") for error in result.errors or ()]


def ask(execute: Execute, models: ReadModels, query: str, **variables: Any) -> dict[str, Any]:
    result = execute(models, query, **variables)
    assert result.errors is None, result.errors
    assert result.data is not None
    return json.loads(encode(result.data))  # type: ignore[no-any-return]


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
    [hour] = data["hours"]["buckets"]
    assert (hour["from"], hour["until"]) == ("2026-03-01T08:00:00+00:00", "2026-03-01T09:00:00+00:00")


@pytest.mark.parametrize(
    ("arguments", "code", "argument"),
    [
        ("by: TYPE", "BAD_USER_INPUT", "occurredFrom"),
        ("by: DAY, first: 1001", "LIMIT_EXCEEDED", "first"),
        ("by: DAY, first: 0", "BAD_USER_INPUT", "first"),
    ],
)
def test_what_can_not_be_counted_is_refused(
    execute: Execute, unread: ReadModels, arguments: str, code: str, argument: str
) -> None:
    result = execute(unread, f"{{ eventCounts({arguments}) {{ events }} }}")
    assert result.errors is not None
    assert result.errors[0].extensions == {"code": code, "argument": argument}


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


@pytest.mark.parametrize(
    ("filter", "code", "argument"),
    [
        ({"or": []}, "BAD_USER_INPUT", "or"),
        ({"patientIn": []}, "BAD_USER_INPUT", "patientIn"),
        ({"not": {}}, "BAD_USER_INPUT", "filter"),
        ({"not": {"types": ["record.raed"]}}, "BAD_USER_INPUT", "types"),
        ({"and": [{"actor": str(n)} for n in range(51)]}, "LIMIT_EXCEEDED", "filter"),
        ({"not": {"not": {"not": {"not": {"not": {"not": {"actor": "x"}}}}}}}, "LIMIT_EXCEEDED", "filter"),
        ({"addressPrefix": "\0"}, "BAD_USER_INPUT", "addressPrefix"),
    ],
)
def test_a_filter_that_is_too_much_or_nothing_is_refused(
    execute: Execute, unread: ReadModels, filter: dict[str, Any], code: str, argument: str
) -> None:
    result = execute(unread, POSITIONS, first=1, filter=filter)
    assert result.errors is not None
    assert result.errors[0].extensions == {"code": code, "argument": argument}


def test_a_walk_that_takes_too_long_is_refused_with_advice(execute: Execute, projected_url: str) -> None:
    record(projected_url, [read(minute % 60) for minute in range(3000)])
    with closing(Database(projected_url, READER, statement_timeout_ms=1)) as database:
        result = execute(
            ReadModels(database), POSITIONS, first=1, filter={"not": {"resourceType": "Observation"}}
        )
    assert result.errors is not None
    assert codes(result) == ["BAD_USER_INPUT"]
    assert "range of times" in result.errors[0].message


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


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("", "BAD_USER_INPUT"),
        ("(first: 1, last: 1)", "BAD_USER_INPUT"),
        ("(first: 0)", "BAD_USER_INPUT"),
        ("(last: -1)", "BAD_USER_INPUT"),
        ("(first: 101)", "LIMIT_EXCEEDED"),
        ('(first: 1, after: "x")', "BAD_CURSOR"),
        ('(last: 1, before: "cDE6LTE")', "BAD_CURSOR"),
        ('(first: 1, filter: {types: ["record.raed"]})', "BAD_USER_INPUT"),
        ('(first: 1, filter: {resourceId: "1"})', "BAD_USER_INPUT"),
        ('(first: 1, filter: {patient: ""})', "BAD_USER_INPUT"),
        ('(first: 1, filter: {occurredFrom: "2026-03-01T08:00:00"})', "BAD_USER_INPUT"),
    ],
)
def test_wrong_arguments_are_named(execute: Execute, unread: ReadModels, arguments: str, code: str) -> None:
    result = execute(unread, f"{{ events{arguments} {{ asOfPosition }} }}")
    assert result.errors is not None
    assert codes(result) == [code], result.errors
    assert "argument" in (result.errors[0].extensions or {})


@pytest.mark.parametrize(
    ("query", "argument"),
    [
        ('{ service(name: "\\u0000") { id } }', "name"),
        ('{ user(id: "\\u0000") { id } }', "id"),
        ('{ resource(type: "\\u0000", id: "1") { id } }', "type"),
    ],
)
def test_a_wrong_name_of_a_subject_is_reported_under_its_own_argument(
    execute: Execute, unread: ReadModels, query: str, argument: str
) -> None:
    result = execute(unread, query)
    assert result.errors is not None
    assert result.errors[0].extensions == {"code": "BAD_USER_INPUT", "argument": argument}


@pytest.mark.parametrize(
    ("query", "variables", "code"),
    [
        ("query ($id: UUID!) { event(id: $id) { id } }", {"id": "x"}, "BAD_USER_INPUT"),
        ("query ($id: UUID!) { event(id: $id) { id } }", {}, "BAD_USER_INPUT"),
        ("query ($n: Int) { events(first: $n) { asOfPosition } }", {"n": 10**17}, "BAD_USER_INPUT"),
        ("query ($id: String!) { event(id: $id) { id } }", {"id": "x"}, "GRAPHQL_VALIDATION_FAILED"),
        ("{ event(id: $id) { id } }", {}, "GRAPHQL_VALIDATION_FAILED"),
    ],
)
def test_a_variable_of_a_wrong_value_is_told_from_one_that_the_query_misuses(
    execute: Execute, unread: ReadModels, query: str, variables: dict[str, Any], code: str
) -> None:
    result = execute(unread, query, **variables)
    assert result.errors is not None
    assert codes(result) == [code], result.errors


def test_a_timeline_is_not_led_to_another_subject(execute: Execute, models: ReadModels) -> None:
    query = '{ patient(id: "17") { timeline(first: 1, filter: {patient: "18"}) { asOfPosition } } }'
    result = execute(models, query)
    assert result.errors is not None
    assert codes(result) == ["BAD_USER_INPUT"]


@pytest.mark.parametrize(
    ("limits", "query"),
    [
        (QueryLimits(max_depth=3), "{ events(first: 1) { edges { node { actor { id } } } } }"),
        (QueryLimits(max_aliases=1), "{ a: projections { name } b: projections { name } }"),
        (QueryLimits(max_directives=1), "{ projections { name @skip(if: false) lag @skip(if: false) } }"),
        (QueryLimits(max_page=5), "{ events(first: 6) { asOfPosition } }"),
        (QueryLimits(max_page=1), '{ nodes(ids: ["a", "b"]) { id } }'),
        (QueryLimits(max_list=5), '{ patient(id: "17", limit: 6) { events } }'),
    ],
)
def test_a_query_over_a_limit_is_told_which(
    execute: Execute, unread: ReadModels, limits: QueryLimits, query: str
) -> None:
    result = execute(unread, query, limits=limits)
    assert result.errors is not None
    assert set(codes(result)) == {"LIMIT_EXCEEDED"}, result.errors


def test_the_pages_of_one_request_are_limited_together(execute: Execute, models: ReadModels) -> None:
    query = "{ a: events(first: 5) { asOfPosition } b: events(last: 5) { asOfPosition } }"
    assert execute(models, query, limits=QueryLimits(max_events=10)).errors is None
    result = execute(models, query, limits=QueryLimits(max_events=9))
    assert result.errors is not None
    assert codes(result) == ["LIMIT_EXCEEDED"]


def test_too_many_tokens_are_refused(execute: Execute, unread: ReadModels) -> None:
    result = execute(unread, "{ projections { " + "name " * 50 + "} }", limits=QueryLimits(max_tokens=40))
    assert result.errors is not None
    assert "40 tokens" in result.errors[0].message
    assert codes(result) == ["LIMIT_EXCEEDED"]


def test_fragments_that_double_each_other_are_measured_at_once(execute: Execute, models: ReadModels) -> None:
    """Each of 60 fragments spreads the next one twice: 2^60 walks for a limiter without a memory."""
    chain = "".join(f"fragment f{i} on Query {{ ...f{i + 1} ...f{i + 1} }} " for i in range(60))
    result = execute(models, "{ ...f0 } " + chain + "fragment f60 on Query { projections { name } }")
    assert codes(result) == ["LIMIT_EXCEEDED"]


def test_introspection_can_be_switched_off(execute: Execute, unread: ReadModels) -> None:
    query = "{ __schema { types { name } } }"
    assert execute(unread, query).errors is None
    assert execute(unread, query, limits=QueryLimits(introspection=False)).errors is not None


class Defective(ReadModels):
    """Read models with a defect whose message quotes a patient."""

    def event(self, event_id: UUID, scope: EventFilter | None = None) -> RecordedEvent | None:
        raise KeyError(f"patient 17 has a secret in {event_id} {scope}")


def test_an_unexpected_error_is_masked(execute: Execute, migrated_url: str) -> None:
    result = execute(Defective(Database(migrated_url, None)), f'{{ event(id: "{UUID(int=1)}") {{ id }} }}')
    assert result.errors is not None
    assert result.errors[0].message == "Unexpected error."
    assert result.errors[0].extensions == {"code": "INTERNAL_ERROR"}
    assert result.errors[0].path == ["event"]


def test_a_wrong_uuid_is_explained_and_not_masked(execute: Execute, unread: ReadModels) -> None:
    for query, variables in (
        ('{ event(id: "x") { id } }', {}),
        ("query ($id: UUID!) { event(id: $id) { id } }", {"id": "x"}),
    ):
        result = execute(unread, query, **variables)
        assert result.errors is not None
        assert "UUID" in result.errors[0].message


@pytest.mark.parametrize(
    "id", ["x", "", base64.urlsafe_b64encode(b"Nothing:1").decode().rstrip("="), "RXZlbnQ6eA"]
)
def test_an_id_that_is_none_is_refused(execute: Execute, unread: ReadModels, id: str) -> None:
    result = execute(unread, "query ($id: ID!) { node(id: $id) { id } }", id=id)
    assert result.errors is not None
    assert codes(result) == ["BAD_USER_INPUT"]


def test_a_database_that_is_away_is_said_so(execute: Execute, unread: ReadModels) -> None:
    result = execute(unread, "{ events(first: 1) { asOfPosition } }")
    assert result.errors is not None
    assert codes(result) == ["UNAVAILABLE"]
