"""A client that has to add a range of times is told so."""

from __future__ import annotations

import pytest

from queries.limits import QueryLimits
from queries.read_models import ReadModels
from tests.graphql_api.conftest import Execute


@pytest.mark.parametrize(
    "query",
    [
        '{ events(first: 1, filter: {purposes: ["BTG"]}) { asOfPosition } }',
        '{ events(first: 1, filter: {purposes: ["BTG"], occurredFrom: "2020-01-01T00:00:00Z"}) { asOfPosition } }',
        '{ eventCounts(by: ACTOR, filter: {occurredFrom: "2020-01-01T00:00:00Z"}) { events } }',
    ],
)
def test_a_client_is_told_what_to_add(execute: Execute, models: ReadModels, query: str) -> None:
    result = execute(models, query)
    assert result.errors is not None
    (error,) = result.errors
    assert "31 days" in error.message
    assert error.extensions == {"code": "BAD_USER_INPUT", "argument": "occurredFrom"}
    assert execute(models, query, limits=QueryLimits(max_unindexed_days=0)).errors is None


def test_a_precomputed_count_needs_no_range(execute: Execute, models: ReadModels) -> None:
    assert (
        execute(models, "{ eventCounts(by: TYPE, filter: {outcomes: [SUCCESS]}) { events } }").errors is None
    )


def test_the_newest_events_need_no_filter_and_a_subject_leads(execute: Execute, models: ReadModels) -> None:
    query = """{ events(first: 1) { nodes { position } } patient(id: "17") {
      timeline(first: 1, filter: {purposes: ["BTG"]}) { nodes { position } } } }"""
    assert execute(models, query).errors is None
