"""What generators of clients need of the OpenAPI document: names of our own, and only schemas that they understand.

Each rule stands for a client that was not generated, did not compile, or sent something else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

OPERATIONS = {
    "GET /healthz": "getLiveness",
    "GET /log/checkpoint": "getCheckpoint",
    "GET /log/newest-checkpoint": "getNewestCheckpoint",
    "GET /log/policy": "getWitnessPolicy",
    "GET /log/tile/entries/{index}": "getEntryBundle",
    "GET /log/tile/{level}/{index}": "getTile",
    "GET /log/vkey": "getVkey",
    "GET /log/vkeys": "listVkeys",
    "GET /metrics": "getMetrics",
    "GET /readyz": "getReadiness",
    "GET /v1/alerts": "listAlerts",
    "GET /v1/alerts/{id}": "getAlert",
    "GET /v1/alerts/{id}/events": "listAlertEvents",
    "GET /v1/case-commands/{id}": "getCaseCommand",
    "GET /v1/cases": "listCases",
    "GET /v1/cases/{id}": "getCase",
    "GET /v1/detection/activations": "listRuleActivations",
    "GET /v1/detection/explained": "getExplainedAccesses",
    "GET /v1/detection/rules": "listDetectionRules",
    "GET /v1/detection/rules/{id}": "getDetectionRule",
    "GET /v1/devices/{id}": "getDeviceActivity",
    "GET /v1/devices/{id}/configuration": "getDeviceConfiguration",
    "GET /v1/event-counts": "countEvents",
    "GET /v1/events": "listEvents",
    "GET /v1/events/{event_id}": "getEvent",
    "GET /v1/events/{event_id}/proof": "getInclusionProof",
    "GET /v1/export": "exportEvents",
    "GET /v1/followers": "listFollowers",
    "GET /v1/own-questions": "listOwnQuestions",
    "GET /v1/patients/{id}": "getPatientActivity",
    "GET /v1/projections/{name}": "getProjection",
    "GET /v1/projections/{name}/{table}": "listRows",
    "GET /v1/resources/{type}/{id}": "getResourceActivity",
    "GET /v1/resources/{type}/{id}/changes": "listResourceChanges",
    "GET /v1/reviews": "listReviews",
    "GET /v1/reviews/{id}": "getReview",
    "GET /v1/reviews/{id}/items": "listReviewItems",
    "GET /v1/reviews/{id}/items/{item}": "getReviewItem",
    "GET /v1/sequence-gaps": "listSequenceGaps",
    "GET /v1/services/{id}": "getServiceActivity",
    "GET /v1/suppressions": "listSuppressions",
    "GET /v1/users/{id}": "getUserActivity",
    "GET /v1/views": "listSavedViews",
    "GET /v1/watched-targets": "listWatchedTargets",
    "POST /v1/cases": "openCase",
    "POST /v1/cases/{id}/answer": "answerQuestion",
    "POST /v1/cases/{id}/ask": "askEmployee",
    "POST /v1/cases/{id}/assign": "assignCase",
    "POST /v1/cases/{id}/comment": "commentCase",
    "POST /v1/cases/{id}/decide": "decideCase",
    "POST /v1/cases/{id}/reopen": "reopenCase",
    "POST /v1/events": "publishEvents",
    "POST /v1/intake/alertmanager": "publishFromAlertmanager",
    "POST /v1/intake/gatus": "publishFromGatus",
    "POST /v1/intake/kubernetes": "publishFromKubernetes",
    "POST /v1/intake/uptime-kuma": "publishFromUptimeKuma",
    "POST /v1/patients/{id}/staff-disclosure": "decideStaffDisclosure",
    "POST /v1/reviews": "beginReview",
    "POST /v1/reviews/{id}/close": "closeReview",
    "POST /v1/reviews/{id}/items/{item}/decide": "decideReviewItem",
    "POST /v1/reviews/{id}/items/{item}/reassign": "reassignReviewItem",
    "POST /v1/suppressions": "suppressAlerts",
    "POST /v1/suppressions/{id}/end": "endSuppression",
}
"""Names of functions in clients: a change breaks them."""


@pytest.fixture
def document(lonely_client: httpx2.Client) -> dict[str, Any]:
    found: dict[str, Any] = lonely_client.get("/openapi.json").json()
    return found


def schemas(here: Any, at: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Each object of the document that a generator reads. It ignores what is under `then`."""
    if isinstance(here, list):
        for index, each in enumerate(here):
            yield from schemas(each, f"{at}/{index}")
    elif isinstance(here, dict):
        yield at, here
        for name, each in here.items():
            if name not in {"then", "example"}:
                yield from schemas(each, f"{at}/{name}")


def test_operations_keep_their_names(document: dict[str, Any]) -> None:
    found = {
        f"{method.upper()} {path}": operation["operationId"]
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    assert found == {name: id for name, id in OPERATIONS.items() if name in found}
    assert OPERATIONS.keys() - found.keys() <= {"GET /v1/export"}


def test_each_title_is_the_name_of_its_component(document: dict[str, Any]) -> None:
    components = document["components"]["schemas"]
    assert {name: schema["title"] for name, schema in components.items()} == {
        name: name for name in components
    }
    parameters = [at for at, each in schemas(document["paths"]) if isinstance(each.get("title"), str)]
    assert parameters == []


def test_no_generator_meets_what_it_can_not_express(document: dict[str, Any]) -> None:
    for at, each in schemas(document):
        if at.endswith("/properties"):
            continue  # its keys are names of fields
        assert not {"anyOf", "oneOf", "allOf", "not"} & each.keys(), at
        assert each.get("additionalProperties") is not False, at
        assert not ("pattern" in each and each.get("format") == "date-time"), at


def test_parameters_have_plain_types(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                known = parameter.get("schema", {"type": "a filter"})
                assert isinstance(known["type"], str), (path, parameter["name"])


def test_only_a_filter_holds_its_own_kind(document: dict[str, Any]) -> None:
    components = document["components"]["schemas"]
    uses = {
        name: {each["$ref"].rpartition("/")[2] for _, each in schemas(schema) if "$ref" in each}
        for name, schema in components.items()
    }

    def reached(name: str) -> set[str]:
        found: set[str] = set()
        left = [name]
        while left:
            new = uses[left.pop()] - found
            found |= new
            left += new
        return found

    assert {name for name in components if name in reached(name)} == {"EventFilter"}


def test_no_two_enumerations_share_a_value(document: dict[str, Any]) -> None:
    values = Counter(
        value for schema in document["components"]["schemas"].values() for value in schema.get("enum", ())
    )
    assert [value for value, number in values.items() if number > 1] == []


def test_an_event_is_sent_as_json_and_needs_no_field_that_has_a_default(document: dict[str, Any]) -> None:
    body = document["paths"]["/v1/events"]["post"]["requestBody"]
    assert next(iter(body["content"].items()))[0] == "application/json"
    assert body["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/ReportedEvent"}
    reported = {
        name: schema
        for name, schema in document["components"]["schemas"].items()
        if name.startswith("Reported")
    }
    assert len(reported) > 8
    assert [at for at, each in schemas(reported) if "default" in each] == []


def test_no_body_is_a_list_of_known_items(document: dict[str, Any]) -> None:
    """Python of openapi-python-client would ask whether a body is a `list[...]`, which raises an error."""
    bodies = document["paths"]["/v1/events"]["post"]["requestBody"]["content"]
    lists = [name for name, each in bodies.items() if each["schema"].get("type") == "array"]
    assert lists == ["application/cloudevents-batch+json"]
    assert all("items" not in bodies[name]["schema"] for name in lists)
