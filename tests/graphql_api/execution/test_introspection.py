"""Without introspection no error tells names of the schema, or repeats values of the query."""

from __future__ import annotations

from typing import Any

import pytest

from queries.limits import QueryLimits
from queries.read_models import ReadModels
from tests.graphql_api.answers import codes
from tests.graphql_api.conftest import Execute

HIDDEN = QueryLimits(introspection=False)
FILTERED = "query ($filter: EventFilter) { events(first: 1, filter: $filter) { asOfPosition } }"

MISSPELT: list[tuple[str, dict[str, Any]]] = [
    ("{ projectionz { name } }", {}),
    ("{ events(fist: 1) { asOfPosition } }", {}),
    ("{ events(first: 1) }", {}),
    ("{ __typename @skp }", {}),
    ("{ __typename @skip(iff: true) }", {}),
    ('{ events(first: 1, filter: {patien: "secret"}) { asOfPosition } }', {}),
    ('{ events(first: 1, filter: {patientIn: {a: "secret"}}) { asOfPosition } }', {}),
    ('{ events(first: 1, filter: "secret") { asOfPosition } }', {}),
    ('{ events(first: 1, filter: {occurredFrom: "secret"}) { asOfPosition } }', {}),
    ("{ events(first: 1, filter: {outcomes: [SUCCES]}) { asOfPosition } }", {}),
    ('{ events(first: 1, filter: {outcomes: ["secret"]}) { asOfPosition } }', {}),
    ("query ($filter: EventFiltr) { events(first: 1, filter: $filter) { asOfPosition } }", {}),
    ("{ node(id: 1) { id ... on Evnt { id } } }", {}),
    ("fragment f on Evnt { id } { event { ...f } }", {}),
    ('{ events(first: "secret") { asOfPosition } }', {}),
    ('{ event(id: "secret") { id } }', {}),
    ('{ event(id: {a: "secret"}) { id } }', {}),
    ('{ node(id: ["secret"]) { id } }', {}),
    ('{ projection(name: {a: "secret"}) { name } }', {}),
    ('{ treeHead(size: "secret") { size } }', {}),
    ('{ events("secret") }', {}),
    ('{ "secret" }', {}),
    ('{ """secret""" }', {}),
    ("query ($id: UUID!) { event(id: $id) { id } }", {"id": "secret"}),
    ("query ($first: Int) { events(first: $first) { asOfPosition } }", {"first": "secret"}),
    ("query ($id: ID!) { node(id: $id) { id } }", {"id": {"a": "secret"}}),
    ("query ($name: String!) { projection(name: $name) { name } }", {"name": ["secret"]}),
    ("query ($by: CountBy!) { eventCounts(by: $by) { events } }", {"by": "secret"}),
    ("query ($by: CountBy!) { eventCounts(by: $by) { events } }", {"by": ["secret"]}),
    (FILTERED, {"filter": "secret"}),
    (FILTERED, {"filter": {"patien": "secret"}}),
    (FILTERED, {"filter": {"patient": ["secret"]}}),
    (FILTERED, {"filter": {"outcomes": ["SUCCES"]}}),
    (FILTERED, {"filter": {"outcomes": [{"a": "secret"}]}}),
    (FILTERED, {"filter": {"outcomes": ["' does not exist in 'secret' enum. Value 'secret"]}}),
    (FILTERED, {"filter": {"not": {"or": [{"occurredFrom": "secret"}]}}}),
]


@pytest.mark.parametrize(("query", "variables"), MISSPELT)
def test_an_error_tells_no_name_and_no_value(
    execute: Execute, unread: ReadModels, query: str, variables: dict[str, Any]
) -> None:
    shown, hidden = (execute(unread, query, limits=limits, **variables) for limits in (QueryLimits(), HIDDEN))
    assert hidden.errors is not None
    assert "INTERNAL_ERROR" not in codes(hidden)
    assert codes(hidden) == codes(shown)
    for error in hidden.errors:
        assert not any(hint in error.message for hint in ("Did you mean", "secret", "SUCC", "ound"))
        assert error.message.endswith((".", "bits"))


def test_errors_of_our_own_stay_as_they_are(execute: Execute, unread: ReadModels) -> None:
    variables = {"filter": {"types": ["record.raed"]}}
    shown, hidden = (
        execute(unread, FILTERED, limits=limits, **variables) for limits in (QueryLimits(), HIDDEN)
    )
    assert hidden.errors is not None
    assert shown.errors is not None
    assert [str(error) for error in hidden.errors] == [str(error) for error in shown.errors]
