"""The lists of a summary: each has its own length, in one read."""

from __future__ import annotations

from typing import Any

import pytest

from domain.event import Actor, ActorKind
from queries.read_models import ReadModels
from tests.graphql_api.answers import codes
from tests.graphql_api.conftest import Execute
from tests.hospital import read, record


@pytest.fixture
def busy(hospital_url: str, models: ReadModels) -> ReadModels:
    """Seven actors accessed the patient `list`."""
    record(
        hospital_url,
        [read(number, "list", actor=Actor(kind=ActorKind.USER, id=f"actor-{number}")) for number in range(7)],
    )
    return models


def lengths(result: Any) -> dict[str, int]:
    assert result.errors is None, result.errors
    (node,) = result.data.values()
    return {name: len(rows) for name, rows in node.items() if isinstance(rows, list)}


def test_a_list_has_the_length_that_it_asks_for(execute: Execute, busy: ReadModels) -> None:
    query = """query ($few: Int) { patient(id: "list") {
      two: accesses(limit: 2) { actorId } few: accesses(limit: $few) { actorId } ...rest } }
      fragment rest on PatientActivity { all: accesses { actorId } }"""
    assert lengths(execute(busy, query, few=5)) == {"two": 2, "few": 5, "all": 7}
    assert lengths(execute(busy, query)) == {"two": 2, "few": 7, "all": 7}


def test_a_list_may_be_longer_than_the_summary_says(execute: Execute, busy: ReadModels) -> None:
    query = """{ patient(id: "list", limit: 1) { one: accesses { actorId } four: accesses(limit: 4) { actorId } } }"""
    assert lengths(execute(busy, query)) == {"one": 1, "four": 4}


def test_the_lists_of_a_node_have_their_own_length_too(execute: Execute, busy: ReadModels) -> None:
    found = execute(busy, '{ patient(id: "list") { id } }').data
    assert found is not None
    query = "query ($id: ID!) { node(id: $id) { ... on PatientActivity { accesses(limit: 3) { actorId } } } }"
    assert lengths(execute(busy, query, id=found["patient"]["id"])) == {"accesses": 3}


@pytest.mark.parametrize(
    ("limit", "code"), [(0, "BAD_USER_INPUT"), (-1, "BAD_USER_INPUT"), (1001, "LIMIT_EXCEEDED")]
)
@pytest.mark.parametrize("selection", ["...on PatientActivity { ...few }", "...few"])
def test_a_list_has_a_limit(
    execute: Execute, unread: ReadModels, limit: int, code: str, selection: str
) -> None:
    few = f"fragment few on PatientActivity {{ accesses(limit: {limit}) {{ actorId }} }}"
    result = execute(unread, f'{{ patient(id: "17") {{ {selection} }} }} {few}')
    assert codes(result) == [code]


def test_a_list_costs_what_it_asks_for(execute: Execute, busy: ReadModels) -> None:
    def cost(query: str) -> int:
        extensions = execute(busy, query).extensions
        assert extensions is not None
        requested: int = extensions["cost"]["requested"]
        return requested

    base = cost('{ patient(id: "list") { events } }')
    assert cost('{ patient(id: "list") { events accesses(limit: 5) { actorId } } }') - base == 10
    assert cost('{ patient(id: "list", limit: 9) { events accesses { actorId } } }') - base == 18
    assert cost('{ patient(id: "list") { events accesses { actorId } } }') - base == 200
