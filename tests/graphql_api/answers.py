"""Answers of the schema, taken apart."""

from __future__ import annotations

import json
from typing import Any

from strawberry.types import ExecutionResult

from graphql_api.execution.json_response import encode
from queries.read_models import ReadModels
from tests.graphql_api.conftest import Execute

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
