"""`GET /v1/events`: filters, links, and errors that name the parameter."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from queries.cursors import encode_cursor
from queries.limits import QueryLimits
from tests.hospital import hospital
from tests.web.conftest import NO_DATABASE, Serve


def positions(response: httpx2.Response) -> list[int]:
    assert response.status_code == 200, response.text
    return [event["position"] for event in response.json()["events"]]


def test_conditions_are_combined(client: httpx2.Client) -> None:
    def found(**parameters: Any) -> list[int]:
        return positions(client.get("/v1/events", params=parameters))

    assert found() == list(range(9, -1, -1))
    assert found(patient="17", actor="ada", type=["record.read", "record.updated"]) == [6, 3, 2]
    assert found(action=["U", "R"], occurred_from="2026-03-01T08:05:00Z") == [6, 5]
    assert found(resource_type="Observation", resource_id="o-18", emergency="true") == [4]
    assert found(outcome="minor_failure", category="user", session="s-1") == [0]
    assert found(correlation_id="c-1", purpose="TREAT") == [2]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("patient=17&patient=18", [6, 5, 4, 3, 2]),
        ("patient=17&not_actor=bob", [6, 3, 2]),
        ("not_actor=ada&not_actor=bob", [9, 8]),
        ("not_actor=ada&not_type=api.called", [8, 5, 4]),
        ("type_prefix=record.&not_purpose=TREAT", [6, 5, 4]),
        ("type_prefix=user.&address_prefix=10.", [1, 0]),
        ("position_from=7&position_until=9", [8, 7]),
        ("not_action=R&not_category=service&not_outcome=minor_failure", [6, 1]),
    ],
)
def test_a_query_string_can_say_one_of_these_and_none_of_these(
    client: httpx2.Client, query: str, found: list[int]
) -> None:
    assert positions(client.get(f"/v1/events?{query}")) == found


def test_the_links_lead_through_the_trail_and_back(client: httpx2.Client) -> None:
    response = client.get("/v1/events", params={"first": 2, "patient": "17"})
    assert positions(response) == [6, 5]
    assert response.json()["previous"] is None
    assert response.headers["link"] == f'<{response.json()["next"]}>; rel="next"'
    older = client.get(response.json()["next"])
    assert positions(older) == [3, 2]
    assert (older.json()["next"], older.json()["as_of_position"]) == (None, 9)
    assert positions(client.get(older.json()["previous"])) == [6, 5]
    assert positions(client.get("/v1/events", params={"last": 2})) == [1, 0]


def test_the_links_follow_another_order(client: httpx2.Client) -> None:
    query: dict[str, Any] = {"first": 3, "order_by": "occurred_at", "descending": "false"}
    first = client.get("/v1/events", params=query)
    second = client.get(first.json()["next"])
    assert (positions(first), positions(second)) == ([0, 1, 2], [3, 4, 5])
    assert positions(client.get(second.json()["previous"])) == [0, 1, 2]


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"patinet": "17"}, "patinet"),
        ({"first": 0}, "first"),
        ({"first": 101}, "first"),
        ({"after": "x"}, "after"),
        ({"occurred_from": "2026-03-01T08:00:00"}, "occurred_from"),
        ({"occurred_until": "0.5"}, "occurred_until"),
        ({"occurred_until": "1772352000"}, "occurred_until"),
        ({"type": "record.raed"}, "type"),
        ({"action": "X"}, "action"),
        ({"patient": ""}, "patient"),
        ({"emergency": "perhaps"}, "emergency"),
        ({"emergency": "1"}, "emergency"),
        ({"order_by": "recorded_at"}, "order_by"),
    ],
)
def test_a_wrong_parameter_is_named_and_its_value_is_not_repeated(
    lonely_client: httpx2.Client, parameters: dict[str, Any], field: str
) -> None:
    response = lonely_client.get("/v1/events", params=parameters)
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == 400
    assert [error["field"] for error in problem["errors"]] == [field]


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("?patinet=17", "no such parameter"),
        ("?after=x", "follow the links"),
        ("?occurred_from=2026-03-01T08:00:00+01:00", "%2B"),
        ("?occurred_from=2026-03-01T08:00:00", "offset"),
        ("?occurred_from=2026-03-01", "offset"),
        ("?emergency=perhaps", "write true or false"),
        ("?action=READ", "give 'C', 'R', 'U', 'D' or 'E'"),
        ('?filter={"occurred_from":"1772352000"}', "write the time as RFC 3339 does"),
    ],
)
def test_what_to_write_instead_is_said(lonely_client: httpx2.Client, address: str, says: str) -> None:
    [error] = lonely_client.get(f"/v1/events{address}").json()["errors"]
    assert says in error["message"]
    assert not any(each in error["message"] for each in ("Value error", "<"))


def test_the_links_of_a_page_without_a_size_keep_within_the_limit(serve: Serve, trail_url: str) -> None:
    client = serve(trail_url, limits=QueryLimits(max_page=4))
    page = client.get("/v1/events")
    assert positions(page) == [9, 8, 7, 6]
    assert positions(client.get(page.json()["next"])) == [5, 4, 3, 2]


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"first": 1, "last": 1}, "last"),
        (
            {"occurred_from": "2026-03-02T00:00:00Z", "occurred_until": "2026-03-01T00:00:00Z"},
            "occurred_until",
        ),
        ({"resource_id": "1"}, "resource_type"),
        ({"wait_seconds": "1"}, "wait_for_position"),
        ({"purpose": "BTG"}, "occurred_from"),
        ({"after": "cDE6eA"}, "after"),
        ({"filter": json.dumps({"or": [{"patient": str(n)} for n in range(51)]})}, "filter"),
    ],
)
def test_parameters_that_are_right_by_themselves_and_not_together_conflict(
    lonely_client: httpx2.Client, parameters: dict[str, Any], field: str
) -> None:
    response = lonely_client.get("/v1/events", params=parameters)
    assert (response.status_code, response.headers["content-type"]) == (409, "application/problem+json")
    assert [error["field"] for error in response.json()["errors"]] == [field]


@pytest.mark.parametrize(
    "filter", ['{"emergency": ["true"]}', '{"patient": null}', '{"patient": []}', '{"position_from": true}']
)
def test_a_filter_of_another_shape_is_refused(lonely_client: httpx2.Client, filter: str) -> None:
    response = lonely_client.get("/v1/events", params={"filter": filter})
    assert response.status_code == 400
    assert response.json()["errors"][0]["field"].startswith("filter.")


def test_one_event_is_found_by_its_id(client: httpx2.Client) -> None:
    listed = client.get("/v1/events", params={"type": "record.updated"}).json()["events"][0]
    found = client.get(f"/v1/events/{listed['event']['event_id']}")
    assert found.json() == listed
    assert found.json()["event"]["changes"] == [{"path": "phone", "before": "1", "after": {"home": ["2"]}}]
    assert client.get(f"/v1/events/{hospital()[0].event_id}").status_code == 404
    assert client.get("/v1/events/x").status_code == 400


def test_errors_of_routing_are_problems_too(lonely_client: httpx2.Client) -> None:
    for method, path, status in (("GET", "/nothing", 404), ("DELETE", "/v1/events", 405)):
        response = lonely_client.request(method, path)
        assert response.status_code == status
        assert response.headers["content-type"] == "application/problem+json"


def test_a_database_that_is_away_is_503(serve: Serve) -> None:
    response = serve(NO_DATABASE).get("/v1/events")
    assert response.status_code == 503
    assert response.headers["retry-after"] == "5"
    assert response.headers["content-type"] == "application/problem+json"


def test_openapi_describes_the_routes_with_examples(lonely_client: httpx2.Client) -> None:
    document = lonely_client.get("/openapi.json").json()
    assert {"/v1/events", "/v1/events/{event_id}", "/healthz", "/readyz"} <= set(document["paths"])
    assert {"AuditEvent", "RecordedEvent", "EventList", "Accepted", "Problem"} <= set(
        document["components"]["schemas"]
    )
    post = document["paths"]["/v1/events"]["post"]
    assert post["requestBody"]["content"]["application/json"]["example"]["type"] == "record.read"
    assert post["responses"]["202"]["content"]["application/json"]["example"]
    assert {"200", "400", "503"} <= set(document["paths"]["/v1/events"]["get"]["responses"])
    assert _missing(document, document) == []


def _missing(node: Any, document: dict[str, Any]) -> list[str]:
    """References that lead nowhere."""
    if isinstance(node, list):
        return [ref for item in node for ref in _missing(item, document)]
    if not isinstance(node, dict):
        return []
    here = node.get("$ref")
    name = here.rpartition("/")[2] if isinstance(here, str) else None
    bad = [str(here)] if name is not None and name not in document["components"]["schemas"] else []
    return bad + [ref for item in node.values() for ref in _missing(item, document)]


EXTREMES = [
    "patient=%00",
    "patient=%FF",
    "after=%FF",
    "first=99999999999999999999",
    "first=1e3",
    "after=" + encode_cursor(2**63 - 1),
    "before=" + encode_cursor(2**63 - 1),
    "occurred_from=0001-01-01T00:00:00%2B14:00",
    "occurred_until=9999-12-31T23:59:59-14:00",
    "occurred_from=9999-12-31T23:59:59-14:00&patient=17",
    "occurred_from=1e300",
    "type=" + "x" * 3000,
    "&".join(["purpose=x"] * 200),
    "patient=" + "%F0%9F%98%80" * 256,
]


def test_extreme_values_are_answered_or_refused(client: httpx2.Client) -> None:
    for query in EXTREMES:
        response = client.get(f"/v1/events?{query}")
        assert response.status_code in {200, 400, 409}, (query, response.text)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("outcome=SUCCESS", "outcome"),
        ("category=foo", "category"),
        ("type=zzz", "type"),
        ("purpose=%00", "purpose"),
        ("source=1&source=2", "source"),
        ("patient=1&patient=%00", "patient"),
        ("not_type=zzz", "not_type"),
        ("not_actor=%00", "not_actor"),
        ("not_session=s", "not_session"),
        ("type_prefix=", "type_prefix"),
        ("position_from=-1", "position_from"),
        ("first=1&first=2", "first"),
    ],
)
def test_an_error_names_the_parameter_that_was_sent(
    lonely_client: httpx2.Client, query: str, field: str
) -> None:
    answer = lonely_client.get(f"/v1/events?{query}")
    assert answer.status_code == 400
    assert field in [error["field"] for error in answer.json()["errors"]]
