"""Rows of a projection as a Relay connection: edges with cursors, paged in both directions."""

from __future__ import annotations

from typing import Any

import pytest

from queries.read_models import ReadModels
from tests.graphql_api.answers import codes
from tests.graphql_api.conftest import Execute

ROWS = """query ($first: Int, $after: String, $last: Int, $before: String, $order: RowOrder) {
  projection(name: "activity") {
    rows(table: "activity", first: $first, after: $after, last: $last, before: $before, orderBy: $order) {
      edges { cursor node { values } } nodes
      pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    } } }"""
ORDERS = [None, {"column": "position", "direction": "DESC"}, {"column": "occurred_at", "direction": "ASC"}]


def page(execute: Execute, models: ReadModels, **variables: Any) -> dict[str, Any]:
    result = execute(models, ROWS, **variables)
    assert result.errors is None, result.errors
    assert result.data is not None
    found: dict[str, Any] = result.data["projection"]["rows"]
    assert [edge["node"]["values"] for edge in found["edges"]] == found["nodes"]
    ends = [edge["cursor"] for edge in found["edges"]]
    assert [found["pageInfo"]["startCursor"], found["pageInfo"]["endCursor"]] == [ends[0], ends[-1]]
    return found


@pytest.mark.parametrize("order", ORDERS)
def test_pages_lead_through_all_rows_in_both_directions(
    execute: Execute, models: ReadModels, order: dict[str, str] | None
) -> None:
    every = page(execute, models, first=100, order=order)["nodes"]
    assert len(every) == 10
    forward: list[Any] = []
    found = page(execute, models, first=3, order=order)
    assert not found["pageInfo"]["hasPreviousPage"]
    while True:
        forward += found["nodes"]
        if not found["pageInfo"]["hasNextPage"]:
            break
        found = page(execute, models, first=3, after=found["pageInfo"]["endCursor"], order=order)
        assert found["pageInfo"]["hasPreviousPage"]
    backward: list[Any] = []
    found = page(execute, models, last=3, order=order)
    assert not found["pageInfo"]["hasNextPage"]
    while True:
        backward = found["nodes"] + backward
        if not found["pageInfo"]["hasPreviousPage"]:
            break
        found = page(execute, models, last=3, before=found["pageInfo"]["startCursor"], order=order)
        assert found["pageInfo"]["hasNextPage"]
    assert forward == backward == every


def test_rows_between_two_cursors(execute: Execute, models: ReadModels) -> None:
    edges = page(execute, models, first=100)["edges"]
    between = {"after": edges[1]["cursor"], "before": edges[6]["cursor"]}
    assert page(execute, models, first=100, **between)["edges"] == edges[2:6]
    assert page(execute, models, last=2, **between)["edges"] == edges[4:6]


@pytest.mark.parametrize(
    ("variables", "argument"),
    [
        ({}, "first"),
        ({"first": 1, "last": 1}, "first"),
        ({"last": 0}, "last"),
        ({"last": 1, "before": "x"}, "before"),
        ({"first": 1, "after": "x"}, "after"),
    ],
)
def test_wrong_arguments_of_a_page_are_named(
    execute: Execute, models: ReadModels, variables: dict[str, Any], argument: str
) -> None:
    result = execute(models, ROWS, **variables)
    assert result.errors is not None
    assert codes(result) in (["BAD_USER_INPUT"], ["BAD_CURSOR"])
    assert (result.errors[0].extensions or {})["argument"] == argument
