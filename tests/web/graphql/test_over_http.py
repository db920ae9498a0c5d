"""GraphQL over HTTP: media types, status codes, GET, batches, and what is refused."""

from __future__ import annotations

import json

import httpx2
import pytest

from tests.web.conftest import Serve

QUERY = "{ events(first: 2) { nodes { position type } } }"
ANSWER = {
    "data": {
        "events": {
            "nodes": [{"position": 9, "type": "api.called"}, {"position": 8, "type": "service.restarted"}]
        }
    },
    "extensions": {"cost": {"requested": 16, "limit": 50_000}},
}
GRAPHQL = "application/graphql-response+json"


def test_a_query_is_answered_by_post_and_by_get(client: httpx2.Client) -> None:
    posted = client.post("/graphql", json={"query": QUERY})
    assert (posted.status_code, posted.json()) == (200, ANSWER)
    assert posted.headers["content-type"] == "application/json; charset=utf-8"
    assert posted.headers["cache-control"] == "no-store"
    with_variables = "query ($n: Int) { events(first: $n) { nodes { position type } } }"
    parameters = {"query": with_variables, "variables": json.dumps({"n": 2})}
    answered = client.get("/graphql", params=parameters, headers={"Accept": "application/json"})
    assert answered.json() == ANSWER


def test_the_media_type_is_negotiated(client: httpx2.Client) -> None:
    for accept, media in (
        (GRAPHQL, GRAPHQL),
        ("application/json", "application/json"),
        (f"{GRAPHQL}; charset=utf-8, application/json;q=0.9", GRAPHQL),
        ("*/*", "application/json"),
    ):
        response = client.post("/graphql", json={"query": QUERY}, headers={"Accept": accept})
        assert response.headers["content-type"] == f"{media}; charset=utf-8"
    assert client.post("/graphql", json={"query": QUERY}, headers={"Accept": "image/png"}).status_code == 406


@pytest.mark.parametrize("query", ["{", "{ nothing }", '{ event(id: "x") { id } }'])
def test_a_request_that_is_not_executed_is_400_where_the_media_type_says_so(
    lonely_client: httpx2.Client, query: str
) -> None:
    new = lonely_client.post("/graphql", json={"query": query}, headers={"Accept": GRAPHQL})
    old = lonely_client.post("/graphql", json={"query": query}, headers={"Accept": "application/json"})
    assert (new.status_code, old.status_code) == (400, 200)
    assert new.json() == old.json()
    assert new.json().keys() == {"errors"}


def test_an_error_of_a_field_is_no_error_of_the_request(client: httpx2.Client) -> None:
    query = '{ node(id: "x") { id } projections { name } }'
    response = client.post("/graphql", json={"query": query}, headers={"Accept": GRAPHQL})
    assert response.status_code == 200
    assert response.json()["data"]["node"] is None
    assert response.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert len(response.json()["data"]["projections"]) >= 4


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"1", b"null", b"{}", b"[]", b"[1]", b'{"query": 1}', b'{"query": ""}', b'{"query": ["{}"]}',
     b'{"query": "{ __typename }", "variables": "x"}', b'{"query": "{ __typename }", "operationName": 1}',
     b'{"query": "{ __typename }", "extensions": 1}', b"\xff", b"[" * 5000],
)  # fmt: skip
def test_a_body_that_is_no_request_is_400(lonely_client: httpx2.Client, body: bytes) -> None:
    response = lonely_client.post("/graphql", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert response.json()["errors"][0]["message"]


def test_only_json_is_taken_which_no_form_of_another_site_can_send(lonely_client: httpx2.Client) -> None:
    for content_type in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
    ):
        headers = {"Content-Type": content_type} if content_type else {}
        response = lonely_client.post(
            "/graphql", content=json.dumps({"query": QUERY}).encode(), headers=headers
        )
        assert response.status_code == 415, content_type


def test_other_methods_are_refused(lonely_client: httpx2.Client) -> None:
    response = lonely_client.request("PUT", "/graphql", json={"query": QUERY})
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, POST"


def test_queries_by_get_can_be_switched_off(serve: Serve, trail_url: str) -> None:
    client = serve(trail_url, queries_via_get=False)
    response = client.get("/graphql", params={"query": QUERY})
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


def test_a_batch_is_limited_in_number_and_in_events(client: httpx2.Client) -> None:
    one = {"query": QUERY}
    assert client.post("/graphql", json=[one] * 3).json() == [ANSWER] * 3
    for many, code in ((6, "LIMIT_EXCEEDED"), (0, "BAD_REQUEST")):
        refused = client.post("/graphql", json=[one] * many)
        assert (refused.status_code, refused.json()["errors"][0]["extensions"]["code"]) == (400, code)
    big = {"query": "{ a: events(first: 100) { asOfPosition } b: events(first: 50) { asOfPosition } }"}
    errors = [answer.get("errors") for answer in client.post("/graphql", json=[big] * 5).json()]
    assert sum(error is not None for error in errors) == 2


def test_the_operations_of_a_batch_cost_together(client: httpx2.Client) -> None:
    lists = "actions { type events } patients { patientId events }"
    users = " ".join(f'{name}: user(id: "ada", limit: 1000) {{ {lists} }}' for name in ("a", "b"))
    big = {"query": f"{{ {users} }}"}
    answers = client.post("/graphql", json=[big] * 5).json()
    assert [answer["extensions"]["cost"]["requested"] for answer in answers] == [12_080] * 5
    refused = next(answer for answer in answers if "errors" in answer)
    assert refused["errors"][0]["extensions"] == {
        "code": "LIMIT_EXCEEDED",
        "requested": 5 * 12_080,
        "limit": 50_000,
    }


def test_a_large_body_is_refused_also_when_its_length_is_not_declared(lonely_client: httpx2.Client) -> None:
    body = json.dumps({"query": "#" * 300_000}).encode()
    declared = lonely_client.post("/graphql", content=body, headers={"Content-Type": "application/json"})
    chunked = lonely_client.post(
        "/graphql", content=iter([body]), headers={"Content-Type": "application/json"}
    )
    for response in (declared, chunked):
        assert response.status_code == 413
        assert response.headers["content-type"] == "application/json"
        assert response.json()["errors"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"


def test_a_filter_with_too_much_in_it_is_over_a_limit_and_not_wrong_by_itself(client: httpx2.Client) -> None:
    query = "query ($f: EventFilter) { events(first: 1, filter: $f) { asOfPosition } }"
    for much, argument in (
        ({"userIn": [str(n) for n in range(101)]}, "userIn"),
        ({"or": [{"patient": str(n)} for n in range(51)]}, "filter"),
    ):
        answer = client.post("/graphql", json={"query": query, "variables": {"f": much}}).json()
        assert answer["errors"][0]["extensions"] == {"code": "LIMIT_EXCEEDED", "argument": argument}


def test_browsers_get_graphiql_from_our_own_files(serve: Serve, trail_url: str) -> None:
    client = serve(trail_url, pages=True)
    page = client.get("/graphql", headers={"Accept": "text/html,*/*;q=0.8"})
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "//" not in page.text.replace("<!doctype", "")
    for path in _files(page.text):
        assert client.get(f"/{path}").status_code == 200, path
    assert client.get("/graphql").status_code == 400


def test_swagger_ui_comes_from_our_own_files(serve: Serve, trail_url: str) -> None:
    client = serve(trail_url, pages=True)
    page = client.get("/docs")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for path in _files(page.text):
        assert client.get(f"/{path}").status_code == 200, path


def _files(page: str) -> list[str]:
    found = [part.split('"')[0] for part in page.split('="') if part.startswith("static/")]
    assert found
    return found


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("query ($id: ID!) { node(id: $id) { id } }", r'{"id": "\ud800"}'),
        ("query ($id: UUID!) { event(id: $id) { id } }", r'{"id": "\ud800"}'),
        ("query ($id: ID!) { patient(id: $id) { events } }", r'{"id": "\u0000"}'),
        ("query ($n: Int) { events(first: $n) { asOfPosition } }", '{"n": 1e400}'),
        ("query ($n: Int) { events(first: $n) { asOfPosition } }", '{"n": 99999999999999999999}'),
        ("{ events(first: 1, filter: {patient: " + '"' + r"\u{D800}" + '"}) { asOfPosition } }', "{}"),
        ("{ a " * 900, "{}"),
        ("{ a " * 400 + "}" * 400, "{}"),
        ("{ events(first: " + "[" * 900 + "]" * 900 + ") { asOfPosition } }", "{}"),
    ],
)
def test_extreme_requests_get_a_clear_error(lonely_client: httpx2.Client, query: str, variables: str) -> None:
    body = b'{"query": ' + json.dumps(query).encode() + b', "variables": ' + variables.encode() + b"}"
    response = lonely_client.post("/graphql", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in {200, 400}, response.text
    assert response.json()["errors"][0]["message"] != "Unexpected error.", response.text


def test_a_document_of_many_errors_is_told_of_a_few(lonely_client: httpx2.Client) -> None:
    answer = lonely_client.post("/graphql", json={"query": "{ __typename" + " @no" * 40 + " }"})
    assert len(answer.json()["errors"]) == 5


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{a" * 300 + "}" * 300, "LIMIT_EXCEEDED"),
        ("{ __schema { types" + " { fields { type" * 4 + " { name }" + " } }" * 4 + " } }", "LIMIT_EXCEEDED"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ('{ event(id: "x") { type } }', "GRAPHQL_VALIDATION_FAILED"),
        ("{ events(first: 99999999999999999) { asOfPosition } }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ events(first: 1, filter: {types: []}) { asOfPosition } }", "BAD_USER_INPUT"),
        ('{ events(first: 1, filter: {actions: ["X"]}) { asOfPosition } }', "GRAPHQL_VALIDATION_FAILED"),
    ],
)
def test_every_error_has_a_code(lonely_client: httpx2.Client, query: str, code: str) -> None:
    answer = lonely_client.post("/graphql", json={"query": query})
    assert [error["extensions"]["code"] for error in answer.json()["errors"]] == [code]
