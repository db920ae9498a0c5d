"""What scanners of GraphQL servers probe for, on a server whose settings are the defaults."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from audit_trail.settings import Settings
from queries.limits import QueryLimits
from tests.web.conftest import Serve

TYPENAME = "query cop { __typename }"


@pytest.fixture
def default(serve: Serve, trail_url: str) -> httpx2.Client:
    """A client of a server that tells its schema as `serve` does without a setting."""
    introspection = Settings.model_fields["introspection"].default
    return serve(trail_url, limits=QueryLimits(introspection=introspection))


def posted(client: httpx2.Client, query: str) -> dict[str, Any]:
    answer: dict[str, Any] = client.post("/graphql", json={"query": query, "operationName": "cop"}).json()
    return answer


def codes(answer: dict[str, Any]) -> set[str]:
    assert "data" not in answer
    return {error["extensions"]["code"] for error in answer["errors"]}


def test_the_server_is_found_to_speak_graphql(default: httpx2.Client) -> None:
    assert posted(default, TYPENAME)["data"] == {"__typename": "Query"}


def test_a_hundred_aliases_are_too_many(default: httpx2.Client) -> None:
    aliases = " ".join(f"alias{n}: __typename" for n in range(101))
    assert codes(posted(default, f"query cop {{ {aliases} }}")) == {"LIMIT_EXCEEDED"}


def test_ten_operations_in_a_batch_are_too_many(default: httpx2.Client) -> None:
    answer = default.post("/graphql", json=[{"query": TYPENAME}] * 10)
    assert (answer.status_code, codes(answer.json())) == (400, {"LIMIT_EXCEEDED"})


def test_a_directive_that_is_repeated_is_told_of_a_few_times(default: httpx2.Client) -> None:
    answer = posted(default, "query cop { __typename " + "@aa" * 10 + " }")
    assert codes(answer) == {"GRAPHQL_VALIDATION_FAILED"}
    assert len(answer["errors"]) == 5
    known = "query cop { __typename " + "@skip(if: false) " * 51 + "}"
    assert "LIMIT_EXCEEDED" in codes(posted(default, known))


def test_a_field_that_is_repeated_is_answered_once_and_a_thousand_times_is_too_much(
    default: httpx2.Client,
) -> None:
    assert posted(default, "query cop { " + "__typename " * 500 + "}")["data"] == {"__typename": "Query"}
    assert codes(posted(default, "query cop { " + "__typename " * 2000 + "}")) == {"LIMIT_EXCEEDED"}


def test_the_schema_is_not_told(default: httpx2.Client) -> None:
    for query in (
        "query cop { __schema { types { name fields { name } } } }",
        "query cop { __schema { queryType { name } } }",
        'query cop { __type(name: "Query") { name fields { name } } }',
        'query cop { __type(name: "Query") { description } }',
        'query cop { __type(name: "Query") { ...f } } fragment f on __Type { kind }',
    ):
        assert codes(posted(default, query)) == {"GRAPHQL_VALIDATION_FAILED"}, query


def test_a_type_that_is_known_by_its_name_is_told_by_that(default: httpx2.Client) -> None:
    """GraphQL over HTTP's own audits ask for one that is not there, to see that variables arrive."""
    query = "query cop($name: String!) { __type(name: $name) { name } }"
    answer = default.post("/graphql", json={"query": query, "variables": {"name": "sometype"}})
    assert answer.json()["data"] == {"__type": None}


@pytest.mark.parametrize("introspection", [True, False])
def test_introspection_is_not_followed_in_circles(serve: Serve, trail_url: str, introspection: bool) -> None:
    client = serve(trail_url, limits=QueryLimits(introspection=introspection))
    circle = "fields { type { " * 4 + "name " + "} } " * 4
    answer = posted(client, f"query cop {{ __schema {{ types {{ {circle} }} }} }}")
    switched_off = set() if introspection else {"GRAPHQL_VALIDATION_FAILED"}
    assert codes(answer) == {"LIMIT_EXCEEDED"} | switched_off


def test_no_field_is_suggested(default: httpx2.Client) -> None:
    for query in ("query cop { __schema { directive } }", "query cop { evnts { asOfPosition } }"):
        answer = posted(default, query)
        assert codes(answer) == {"GRAPHQL_VALIDATION_FAILED"}
        assert "Did you mean" not in str(answer)


def test_a_get_that_any_page_could_send_is_refused(default: httpx2.Client) -> None:
    page = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    for sent in (
        {},
        page,
        page | {"Sec-Fetch-Mode": "navigate"},
        {"Accept": "application/json", "Sec-Fetch-Mode": "no-cors"},
    ):
        answer = default.get("/graphql", params={"query": TYPENAME}, headers=sent)
        assert (answer.status_code, codes(answer.json())) == (400, {"BAD_REQUEST"}), sent


def test_a_get_that_a_program_sends_is_answered(default: httpx2.Client) -> None:
    for sent in (
        {"Accept": "application/json"},
        {"Accept": "application/graphql-response+json"},
        {"Sec-Fetch-Mode": "cors"},
    ):
        answer = default.get("/graphql", params={"query": TYPENAME}, headers=sent)
        assert (answer.status_code, answer.json()["data"]) == (200, {"__typename": "Query"}), sent


def test_nothing_is_changed_by_get(default: httpx2.Client) -> None:
    headers = {"Accept": "application/graphql-response+json"}
    answer = default.get("/graphql", params={"query": "mutation cop { __typename }"}, headers=headers)
    assert 400 <= answer.status_code < 500
    assert "data" not in answer.json()


def test_a_form_is_not_read(default: httpx2.Client) -> None:
    answer = default.post("/graphql", data={"query": TYPENAME})
    assert (answer.status_code, codes(answer.json())) == (415, {"BAD_REQUEST"})


def test_an_answer_holds_no_trace_and_an_error_no_exception(default: httpx2.Client) -> None:
    wrong = posted(default, "qwerty cop { abc }")
    assert codes(wrong) == {"GRAPHQL_PARSE_FAILED"}
    assert [set(error) for error in wrong["errors"]] == [{"message", "locations", "extensions"}]
    assert [set(error["extensions"]) for error in wrong["errors"]] == [{"code"}]
    assert set(posted(default, TYPENAME).get("extensions", {})) <= {"cost"}


def test_no_page_is_served_where_none_is_asked_for(default: httpx2.Client) -> None:
    assert "graphiql" not in default.get("/graphql", headers={"Accept": "text/html"}).text.lower()
