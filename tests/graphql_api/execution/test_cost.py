"""What a query costs before it is executed, and what is refused for it."""

from __future__ import annotations

from typing import Any

import pytest

from queries.limits import QueryLimits
from queries.read_models import ReadModels
from tests.graphql_api.conftest import Execute

PAGE = """query ($first: Int = 7, $last: Int) {
  events(first: $first, last: $last) { nodes { type position } edges { node { type } } }
}"""


def cost(execute: Execute, models: ReadModels, query: str, **variables: Any) -> int:
    result = execute(models, query, **variables)
    assert result.extensions is not None
    requested: int = result.extensions["cost"]["requested"]
    assert result.extensions["cost"]["limit"] == QueryLimits().max_cost
    return requested


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("{ __typename }", 1),
        ("{ projections { name lag } }", 12),
        ("{ events(first: 10) { asOfPosition } }", 11),
        # Of a list, itself and its fields as often as it may have items.
        ("{ events(first: 10) { nodes { type position } } }", 10 + 10 * 3),
        ("{ events(last: 10) { edges { cursor node { type } } } }", 10 + 10 * 4),
        ("{ events(first: 10) { nodes { ...e } } } fragment e on Event { type ... { actor { id } } }", 50),
        ("{ events(first: 10) { nodes { type @skip(if: true) } } }", 30),
        ('{ patient(id: "1") { events accesses { actorId } } }', 20 + 1 + 100 * 2),
        ('{ patient(id: "1", limit: 5) { accesses { actorId } } }', 20 + 5 * 2),
        ('{ patient(id: "1", limit: 5) { timeline(first: 3) { nodes { type } } } }', 20 + 10 + 3 * 2),
        ("{ eventCounts(by: DAY, first: 5) { buckets { key events } } }", 200 + 5 * 3),
        ('{ nodes(ids: ["a", "b"]) { id } }', 2 * 21),
        ('{ nodes(ids: "a") { ... on PatientActivity { accesses { actorId } } } }', 20 + 100 * 2),
        ("{ events(first: 4) { nodes { inclusionProof { hashes } } } }", 10 + 4 * 12),
    ],
)
def test_a_list_costs_as_often_as_it_may_have_items(
    execute: Execute, unread: ReadModels, query: str, expected: int
) -> None:
    assert cost(execute, unread, query) == expected


@pytest.mark.parametrize(
    ("variables", "size"),
    [
        ({}, 7),
        ({"first": 3}, 3),
        ({"first": None, "last": 4}, 4),
        ({"first": 100_000}, 100),
        ({"first": -1}, 0),
    ],
)
def test_sizes_in_variables_are_put_in_for_each_request(
    execute: Execute, unread: ReadModels, variables: dict[str, Any], size: int
) -> None:
    assert cost(execute, unread, PAGE, **variables) == 10 + size * 3 + size * 3


def test_what_is_no_size_is_refused_as_ever(execute: Execute, unread: ReadModels) -> None:
    values: tuple[Any, ...] = ("x", [], {}, 1.5, float("nan"), True)
    for value in values:
        result = execute(unread, PAGE, first=value)
        assert result.errors is not None
        assert (result.errors[0].extensions or {})["code"] == "BAD_USER_INPUT"


def test_a_query_that_would_cost_too_much_is_refused_with_both_numbers(
    execute: Execute, unread: ReadModels
) -> None:
    many = " ".join(f'a{n}: user(id: "{n}", limit: 1000) {{ actions {{ type events }} }}' for n in range(20))
    result = execute(unread, f"{{ {many} }}")
    assert result.data is None
    assert result.errors is not None
    (error,) = result.errors
    assert error.extensions == {"code": "LIMIT_EXCEEDED", "requested": 60_800, "limit": 50_000}
    assert "60800" in error.message
    assert "50000" in error.message
    assert result.extensions == {"cost": {"requested": 60_800, "limit": 50_000}}


def test_the_limit_is_a_setting(execute: Execute, models: ReadModels) -> None:
    query = "{ events(first: 10) { nodes { type } } }"
    assert execute(models, query, limits=QueryLimits(max_cost=30)).errors is None
    assert execute(models, query, limits=QueryLimits(max_cost=29)).errors is not None


def test_a_document_of_several_operations_needs_the_name_of_one(execute: Execute, unread: ReadModels) -> None:
    result = execute(unread, "query a { __typename } query b { __typename }")
    assert result.errors is not None
    assert "operationName" in result.errors[0].message
