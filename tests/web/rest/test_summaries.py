"""Summaries, counts, history and nested filters over REST, and answers that a client has already."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from prometheus_client import generate_latest

from domain.event import AuditEvent, Source
from queries.read_models import SequenceCounts
from tests import hospital
from tests.hospital import read, record
from tests.web.conftest import Serve
from web.metrics import MOST_SERVICES, WebMetrics


def test_every_subject_has_a_summary_and_a_link_to_its_events(client: httpx2.Client) -> None:
    patient = client.get("/v1/patients/17").json()
    assert (patient["id"], patient["events"], patient["as_of_position"]) == ("17", 4, 9)
    assert {access["actor_id"] for access in patient["accesses"]} == {"ada", "bob"}
    assert len(client.get("/v1/patients/17?limit=1").json()["accesses"]) == 1
    assert client.get("/v1/users/ada").json()["name"] == "Ada Example"
    assert client.get("/v1/devices/pump-1").json()["id"] == "pump-1"
    assert client.get("/v1/resources/Observation/o-17").json()["type"] == "Observation"
    service = client.get("/v1/services/patient-service")
    assert service.json()["id"] == "patient-service"
    related = client.get("/v1/patients/17").headers["link"]
    assert related == '</v1/events?patient=17>; rel="related"'
    assert len(client.get("/v1/events?patient=17").json()["events"]) == 4


@pytest.mark.parametrize(
    "path", ["patients/none", "users/none", "devices/none", "services/none", "resources/Observation/none"]
)
def test_what_no_event_names_is_404(client: httpx2.Client, path: str) -> None:
    answer = client.get(f"/v1/{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_an_identifier_may_hold_a_slash(client: httpx2.Client) -> None:
    for id in (
        "Practitioner/17",
        "Practitioner%2F17",
        "two%0Alines",
        "lab%7C17",
        "https%3A%2F%2Fb.example%2Ffhir%7C17",
    ):
        assert "no event names this user" in client.get(f"/v1/users/{id}").json()["detail"]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("patients/17?limit=0", "limit"),
        ("patients/17?limit=1001", "limit"),
        ("patients/17?limt=1", "limt"),
        ("patients/17?limit=1&limit=2", "limit"),
        ("patients/17?min_position=-1", "min_position"),
        ("sequence-gaps?limit=1001", "limit"),
        ("sequence-gaps?service=x", "service"),
        ("resources/Observation/o-17/changes?first=101", "first"),
        ("resources/Observation/o-17/changes?after=x", "after"),
        ("event-counts", "by"),
        ("event-counts?by=week", "by"),
        ("event-counts?by=type&first=0", "first"),
        ("event-counts?by=type&patient=17&distinct=devices", "distinct"),
        ("events?day_time_from=25:00", "day_time_from"),
        ("events?weekday=monday&time_zone=Berlin", "time_zone"),
        ("export?weekday=funday", "weekday"),
        ("events?weekday=mon", "weekday"),
    ],
)
def test_a_wrong_parameter_is_named(lonely_client: httpx2.Client, path: str, field: str) -> None:
    answer = lonely_client.get(f"/v1/{path}")
    assert answer.status_code == 400, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]


@pytest.mark.parametrize("query", ["by=actor", "by=type&purpose=TREAT&occurred_from=2020-01-01T00:00:00Z"])
def test_a_count_that_would_read_too_much_conflicts(lonely_client: httpx2.Client, query: str) -> None:
    answer = lonely_client.get(f"/v1/event-counts?{query}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (409, "occurred_from")


def test_a_precomputed_count_needs_no_range(client: httpx2.Client) -> None:
    everything, failures = (
        client.get(f"/v1/event-counts?by=service{more}").json()["events"]
        for more in ("", "&not_outcome=success&occurred_from=2020-01-01T00:00:01Z")
    )
    assert everything == 10
    assert 0 < failures < everything


def test_a_count_can_be_waited_for(client: httpx2.Client) -> None:
    behind = client.get("/v1/event-counts?by=day&min_position=10")
    assert (behind.status_code, behind.json()["errors"][0]["as_of_position"]) == (409, 9)


def test_a_summary_can_be_waited_for(client: httpx2.Client) -> None:
    assert client.get("/v1/patients/17?min_position=9").status_code == 200
    behind = client.get("/v1/patients/17?min_position=10")
    assert (behind.status_code, behind.json()["errors"][0]["as_of_position"]) == (409, 9)


def test_events_are_counted_in_buckets(client: httpx2.Client) -> None:
    counts = client.get("/v1/event-counts?by=type&patient=17").json()
    assert (counts["events"], counts["bucket_count"], counts["as_of_position"]) == (4, 2, 9)
    assert {bucket["key"]: bucket["events"] for bucket in counts["buckets"]} == {
        "record.read": 3,
        "record.updated": 1,
    }
    hours = client.get("/v1/event-counts?by=hour").json()
    assert hours["buckets"] == [
        {
            "key": "2026-03-01T08:00:00+00:00",
            "from": "2026-03-01T08:00:00Z",
            "until": "2026-03-01T09:00:00Z",
            "events": 10,
            "patients": None,
            "actors": None,
        }
    ]
    assert (hours["patients"], hours["actors"]) == (None, None)
    query = "by=day&occurred_from=2026-03-01T00:00:00Z&occurred_until=2026-03-02T00:00:00Z"
    distinct = client.get(f"/v1/event-counts?{query}&distinct=patients&distinct=actors").json()
    [day] = distinct["buckets"]
    assert (day["patients"], day["actors"]) == (distinct["patients"], distinct["actors"]) == (2, 3)
    patients = client.get(f"/v1/event-counts?{query}&distinct=patients").json()
    assert (patients["patients"], patients["actors"]) == (2, None)


def test_a_resource_has_a_history(client: httpx2.Client) -> None:
    updated = client.get("/v1/events?type=record.updated").json()["events"][0]["event"]
    resource = updated["resources"][0]
    path = f"/v1/resources/{resource['type']}/{resource['id']}/changes"
    page = client.get(path).json()
    (change,) = page["changes"]
    assert (change["path"], change["before"], change["after"]) == ("phone", "1", {"home": ["2"]})
    assert (change["event_id"], change["actor"]["id"]) == (updated["event_id"], "ada")
    assert page["next"] is None
    assert client.get(f"{path}?path=other").json()["changes"] == []


@pytest.mark.parametrize(
    ("filter", "found"),
    [
        ({"patient": "17"}, [6, 5, 3, 2]),
        ({"patient": ["17", "18"]}, [6, 5, 4, 3, 2]),
        ({"or": [{"device": "pump-1"}, {"emergency": True}]}, [7, 4]),
        ({"patient": "17", "not": {"actor": "ada"}}, [5]),
        ({"patient": "17", "not_actor": "ada"}, [5]),
        ({"and": [{"patient": "17"}, {"or": [{"actor": "bob"}, {"type": "record.updated"}]}]}, [6, 5]),
        ({"not": {"or": [{"actor": "ada"}, {"actor": "bob"}]}}, [9, 8]),
    ],
)
def test_filters_hold_filters(client: httpx2.Client, filter: dict[str, Any], found: list[int]) -> None:
    answer = client.get("/v1/events", params={"filter": json.dumps(filter)})
    assert [event["position"] for event in answer.json().get("events", ())] == found, answer.text
    narrowed = client.get("/v1/events", params={"filter": json.dumps(filter), "actor": "ada", "first": 1})
    for event in narrowed.json()["events"]:
        assert event["position"] in found
        assert event["event"]["actor"]["id"] == "ada"


@pytest.mark.parametrize(
    ("filter", "field"),
    [
        ("{", "filter"),
        ("1", "filter"),
        ("{}", "filter"),
        ("[" * 5000, "filter"),
        ('{"patinet": "17"}', "filter.patinet"),
        ('{"or": []}', "filter.or"),
        ('{"or": {}}', "filter.or"),
        ('{"or": [{"patient": 17}]}', "filter.or.0.patient"),
        ('{"not": {"occurred_from": "2026-03-01T08:00:00"}}', "filter.not.occurred_from"),
        ('{"filter": "{}"}', "filter.filter"),
        ('{"first": 1}', "filter.first"),
        ('{"patient": "\\ud800"}', "filter"),
        ('{"not":' * 9 + '{"actor": "a"}' + "}" * 9, "filter" + ".not" * 6),
    ],
)
def test_what_is_no_filter_is_named(lonely_client: httpx2.Client, filter: str, field: str) -> None:
    answer = lonely_client.get("/v1/events", params={"filter": filter})
    assert answer.status_code == 400, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_an_export_takes_the_same_filter(serve: Serve, trail_url: str) -> None:
    document = serve(trail_url).get("/openapi.json").json()
    for path in ("/v1/events", "/v1/event-counts"):
        names = [each["name"] for each in document["paths"][path]["get"]["parameters"]]
        assert "filter" in names
        assert "more" not in names


def test_an_answer_that_the_client_has_is_304(client: httpx2.Client) -> None:
    event_id = client.get("/v1/events?first=1").json()["events"][0]["event"]["event_id"]
    for path in (
        f"/v1/events/{event_id}",
        "/v1/events?first=2",
        "/v1/patients/17",
        "/v1/event-counts?by=day",
    ):
        answer = client.get(path)
        tag = answer.headers["etag"]
        assert tag.startswith('"') == ("?" not in path and "patients" not in path), path
        for given in (tag, f'"x", {tag}', "*", tag.removeprefix("W/")):
            again = client.get(path, headers={"If-None-Match": given})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag), path
        assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
    other = client.get(
        "/v1/events?first=3", headers={"If-None-Match": client.get("/v1/events?first=2").headers["etag"]}
    )
    assert other.status_code == 200


def test_what_has_not_changed_is_304_however_far_the_trail_went_on(
    own_client: httpx2.Client, trail_url: str
) -> None:
    tags = {path: own_client.get(path).headers["etag"] for path in ("/v1/patients/17", "/v1/events?first=2")}
    record(trail_url, [read(30, "18")])
    again = {path: own_client.get(path, headers={"If-None-Match": tag}) for path, tag in tags.items()}
    assert [each.status_code for each in again.values()] == [304, 200]


def test_a_type_that_is_named_twice_finds_each_event_once(client: httpx2.Client) -> None:
    once = client.get("/v1/events?type=record.read").json()["events"]
    assert once
    assert client.get("/v1/events?type=record.read&type=record.read").json()["events"] == once
    wrong = client.get("/v1/events?type=record.raed").json()
    assert "did you mean record.read?" in json.dumps(wrong)


def test_every_operation_and_every_error_is_documented_with_an_example(lonely_client: httpx2.Client) -> None:
    document = lonely_client.get("/openapi.json").json()
    bare = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for status, response in operation["responses"].items():
                for media, content in response.get("content", {}).items():
                    if media.endswith("json") and "example" not in content:
                        bare.append(f"{method} {path} {status}")
                    if media.startswith("application/problem") and content.get("example", {}).get(
                        "status"
                    ) != int(status):
                        bare.append(f"{method} {path} {status}: the example is of another status")
                if (
                    path != "/readyz"
                    and status in {"429", "503"}
                    and "Retry-After" not in response.get("headers", {})
                ):
                    bare.append(f"{method} {path} {status}: Retry-After")
    assert bare == []


def test_missing_events_are_in_the_summary_the_list_the_schema_and_the_metrics(
    own_client: httpx2.Client, trail_url: str
) -> None:
    def number(number: int, service: str = "vitals") -> AuditEvent:
        return hospital.event(
            "record.read", 10, source=Source(service=service, instance="a", sequence=number)
        )

    assert own_client.get("/v1/sequence-gaps").json() == {"gaps": [], "as_of_position": 9}
    record(trail_url, [number(1), number(4), number(4), number(2, "lab")])
    found = own_client.get("/v1/services/vitals").json()
    [gap] = found["gaps"]
    noticed = own_client.get("/v1/events?service=vitals&first=9").json()["events"][1]["recorded_at"]
    assert gap == {
        "service": "vitals", "instance": "a", "from_number": 2, "to_number": 3, "noticed_at": noticed, "late": False,
    }  # fmt: skip
    assert (found["instances"][0]["highest"], found["conflicts"][0]["from_number"]) == (4, 4)
    listed = own_client.get("/v1/sequence-gaps?limit=2").json()["gaps"]
    assert [each["service"] for each in listed] == ["lab", "vitals"]
    assert own_client.get("/v1/sequence-gaps?limit=1").json()["gaps"] == listed[:1]
    query = """{ sequenceGaps(limit: 2) { service fromNumber toNumber noticedAt late }
      service(name: "vitals") { gaps(limit: 1) { instance } conflicts { fromNumber } instances { events }
        timeline(first: 1) { nodes { source { sequence } } } } }"""
    data = own_client.post("/graphql", json={"query": query}).json()["data"]
    assert [(each["service"], each["fromNumber"], each["toNumber"]) for each in data["sequenceGaps"]] == [
        ("lab", 1, 1),
        ("vitals", 2, 3),
    ]
    assert data["service"] == {
        "gaps": [{"instance": "a"}],
        "conflicts": [{"fromNumber": 4}],
        "instances": [{"events": 3}],
        "timeline": {"nodes": [{"source": {"sequence": 4}}]},
    }
    metrics = own_client.get("/metrics").text
    assert 'audit_trail_sequence_gaps{service="vitals"} 1.0' in metrics
    assert 'audit_trail_sequence_gaps_late{service="vitals"} 0.0' in metrics
    assert 'audit_trail_sequence_conflicts{service="vitals"} 1.0' in metrics
    record(trail_url, [number(3), number(2), number(1, "lab")])
    assert "audit_trail_sequence_gaps{" in metrics
    assert 'audit_trail_sequence_gaps{service="lab"}' not in own_client.get("/metrics").text


def test_only_some_services_have_labels_of_their_own() -> None:
    """A sender could invent any number of them."""
    metrics = WebMetrics()
    late = {f"late-{at:02}": SequenceCounts(2, 2, 0) for at in range(MOST_SERVICES)}
    metrics.set_sequences({f"a{at}" * 100: SequenceCounts(1, 0, 3) for at in range(9)} | late)
    text = generate_latest(metrics.registry).decode()
    assert text.count("audit_trail_sequence_gaps{") == MOST_SERVICES + 1
    assert 'audit_trail_sequence_gaps{service="(others)"} 9.0' in text
    assert 'audit_trail_sequence_conflicts{service="(others)"} 27.0' in text
