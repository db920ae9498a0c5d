"""What the schema refuses, by which code, and what it says of faults."""

from __future__ import annotations

import base64
from contextlib import closing
from typing import Any
from uuid import UUID

import pytest

from domain.event import RecordedEvent
from event_store.database import READER, Database
from queries.filters.event_filter import EventFilter
from queries.limits import QueryLimits
from queries.read_models import ReadModels
from tests.graphql_api.answers import POSITIONS, codes
from tests.graphql_api.conftest import Execute
from tests.hospital import read, record


@pytest.mark.parametrize(
    ("arguments", "code", "argument"),
    [
        ("by: ACTOR", "BAD_USER_INPUT", "occurredFrom"),
        ("by: DAY, first: 1001", "LIMIT_EXCEEDED", "first"),
        ("by: DAY, first: 0", "BAD_USER_INPUT", "first"),
    ],
)
def test_what_can_not_be_counted_is_refused(
    execute: Execute, unread: ReadModels, arguments: str, code: str, argument: str
) -> None:
    result = execute(unread, f"{{ eventCounts({arguments}) {{ events }} }}")
    assert result.errors is not None
    assert result.errors[0].extensions == {"code": code, "argument": argument}


@pytest.mark.parametrize(
    ("filter", "code", "argument"),
    [
        ({"or": []}, "BAD_USER_INPUT", "or"),
        ({"dayTimeFrom": "10pm"}, "BAD_USER_INPUT", "dayTimeFrom"),
        ({"weekdays": ["MONDAY"], "timeZone": "CEST"}, "BAD_USER_INPUT", "timeZone"),
        ({"patientIn": []}, "BAD_USER_INPUT", "patientIn"),
        ({"not": {}}, "BAD_USER_INPUT", "filter"),
        ({"not": {"types": ["record.raed"]}}, "BAD_USER_INPUT", "types"),
        ({"and": [{"actor": str(n)} for n in range(51)]}, "LIMIT_EXCEEDED", "filter"),
        ({"not": {"not": {"not": {"not": {"not": {"not": {"actor": "x"}}}}}}}, "LIMIT_EXCEEDED", "filter"),
        ({"addressPrefix": "\0"}, "BAD_USER_INPUT", "addressPrefix"),
    ],
)
def test_a_filter_that_is_too_much_or_nothing_is_refused(
    execute: Execute, unread: ReadModels, filter: dict[str, Any], code: str, argument: str
) -> None:
    result = execute(unread, POSITIONS, first=1, filter=filter)
    assert result.errors is not None
    assert result.errors[0].extensions == {"code": code, "argument": argument}


def test_a_walk_that_takes_too_long_is_refused_with_advice(execute: Execute, projected_url: str) -> None:
    record(projected_url, [read(minute % 60) for minute in range(3000)])
    with closing(Database(projected_url, READER, statement_timeout_ms=1)) as database:
        result = execute(
            ReadModels(database), POSITIONS, first=1, filter={"not": {"resourceType": "Observation"}}
        )
    assert result.errors is not None
    assert codes(result) == ["BAD_USER_INPUT"]
    assert "range of times" in result.errors[0].message


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("", "BAD_USER_INPUT"),
        ("(first: 1, last: 1)", "BAD_USER_INPUT"),
        ("(first: 0)", "BAD_USER_INPUT"),
        ("(last: -1)", "BAD_USER_INPUT"),
        ("(first: 101)", "LIMIT_EXCEEDED"),
        ('(first: 1, after: "x")', "BAD_CURSOR"),
        ('(last: 1, before: "cDE6LTE")', "BAD_CURSOR"),
        ('(first: 1, filter: {types: ["record.raed"]})', "BAD_USER_INPUT"),
        ('(first: 1, filter: {resourceId: "1"})', "BAD_USER_INPUT"),
        ('(first: 1, filter: {patient: ""})', "BAD_USER_INPUT"),
        ('(first: 1, filter: {occurredFrom: "2026-03-01T08:00:00"})', "BAD_USER_INPUT"),
    ],
)
def test_wrong_arguments_are_named(execute: Execute, unread: ReadModels, arguments: str, code: str) -> None:
    result = execute(unread, f"{{ events{arguments} {{ asOfPosition }} }}")
    assert result.errors is not None
    assert codes(result) == [code], result.errors
    assert "argument" in (result.errors[0].extensions or {})


@pytest.mark.parametrize(
    ("query", "argument"),
    [
        ('{ service(name: "\\u0000") { id } }', "name"),
        ('{ user(id: "\\u0000") { id } }', "id"),
        ('{ resource(type: "\\u0000", id: "1") { id } }', "type"),
    ],
)
def test_a_wrong_name_of_a_subject_is_reported_under_its_own_argument(
    execute: Execute, unread: ReadModels, query: str, argument: str
) -> None:
    result = execute(unread, query)
    assert result.errors is not None
    assert result.errors[0].extensions == {"code": "BAD_USER_INPUT", "argument": argument}


@pytest.mark.parametrize(
    ("query", "variables", "code"),
    [
        ("query ($id: UUID!) { event(id: $id) { id } }", {"id": "x"}, "BAD_USER_INPUT"),
        ("query ($id: UUID!) { event(id: $id) { id } }", {}, "BAD_USER_INPUT"),
        ("query ($n: Int) { events(first: $n) { asOfPosition } }", {"n": 10**17}, "BAD_USER_INPUT"),
        ("query ($id: String!) { event(id: $id) { id } }", {"id": "x"}, "GRAPHQL_VALIDATION_FAILED"),
        ("{ event(id: $id) { id } }", {}, "GRAPHQL_VALIDATION_FAILED"),
    ],
)
def test_a_variable_of_a_wrong_value_is_told_from_one_that_the_query_misuses(
    execute: Execute, unread: ReadModels, query: str, variables: dict[str, Any], code: str
) -> None:
    result = execute(unread, query, **variables)
    assert result.errors is not None
    assert codes(result) == [code], result.errors


@pytest.mark.parametrize(
    ("limits", "query"),
    [
        (QueryLimits(max_depth=3), "{ events(first: 1) { edges { node { actor { id } } } } }"),
        (QueryLimits(max_aliases=1), "{ a: projections { name } b: projections { name } }"),
        (QueryLimits(max_directives=1), "{ projections { name @skip(if: false) lag @skip(if: false) } }"),
        (QueryLimits(max_page=5), "{ events(first: 6) { asOfPosition } }"),
        (QueryLimits(max_page=1), '{ nodes(ids: ["a", "b"]) { id } }'),
        (QueryLimits(max_list=5), '{ patient(id: "17", limit: 6) { events } }'),
    ],
)
def test_a_query_over_a_limit_is_told_which(
    execute: Execute, unread: ReadModels, limits: QueryLimits, query: str
) -> None:
    result = execute(unread, query, limits=limits)
    assert result.errors is not None
    assert set(codes(result)) == {"LIMIT_EXCEEDED"}, result.errors


def test_the_pages_of_one_request_are_limited_together(execute: Execute, models: ReadModels) -> None:
    query = "{ a: events(first: 5) { asOfPosition } b: events(last: 5) { asOfPosition } }"
    assert execute(models, query, limits=QueryLimits(max_events=10)).errors is None
    result = execute(models, query, limits=QueryLimits(max_events=9))
    assert result.errors is not None
    assert codes(result) == ["LIMIT_EXCEEDED"]


def test_too_many_tokens_are_refused(execute: Execute, unread: ReadModels) -> None:
    result = execute(unread, "{ projections { " + "name " * 50 + "} }", limits=QueryLimits(max_tokens=40))
    assert result.errors is not None
    assert "40 tokens" in result.errors[0].message
    assert codes(result) == ["LIMIT_EXCEEDED"]


def test_fragments_that_double_each_other_are_measured_at_once(execute: Execute, models: ReadModels) -> None:
    """Each of 60 fragments spreads the next one twice: 2^60 walks for a limiter without a memory."""
    chain = "".join(f"fragment f{i} on Query {{ ...f{i + 1} ...f{i + 1} }} " for i in range(60))
    result = execute(models, "{ ...f0 } " + chain + "fragment f60 on Query { projections { name } }")
    assert codes(result) == ["LIMIT_EXCEEDED"]


def test_introspection_can_be_switched_off(execute: Execute, unread: ReadModels) -> None:
    query = "{ __schema { types { name } } }"
    assert execute(unread, query).errors is None
    assert execute(unread, query, limits=QueryLimits(introspection=False)).errors is not None


class Defective(ReadModels):
    """Read models with a defect whose message quotes a patient."""

    def event(self, event_id: UUID, scope: EventFilter | None = None) -> RecordedEvent | None:
        raise KeyError(f"patient 17 has a secret in {event_id} {scope}")


def test_an_unexpected_error_is_masked(execute: Execute, migrated_url: str) -> None:
    result = execute(Defective(Database(migrated_url, None)), f'{{ event(id: "{UUID(int=1)}") {{ id }} }}')
    assert result.errors is not None
    assert result.errors[0].message == "Unexpected error."
    assert result.errors[0].extensions == {"code": "INTERNAL_ERROR"}
    assert result.errors[0].path == ["event"]


def test_a_wrong_uuid_is_explained_and_not_masked(execute: Execute, unread: ReadModels) -> None:
    for query, variables in (
        ('{ event(id: "x") { id } }', {}),
        ("query ($id: UUID!) { event(id: $id) { id } }", {"id": "x"}),
    ):
        result = execute(unread, query, **variables)
        assert result.errors is not None
        assert "UUID" in result.errors[0].message


@pytest.mark.parametrize(
    "id", ["x", "", base64.urlsafe_b64encode(b"Nothing:1").decode().rstrip("="), "RXZlbnQ6eA"]
)
def test_an_id_that_is_none_is_refused(execute: Execute, unread: ReadModels, id: str) -> None:
    result = execute(unread, "query ($id: ID!) { node(id: $id) { id } }", id=id)
    assert result.errors is not None
    assert codes(result) == ["BAD_USER_INPUT"]


def test_a_database_that_is_away_is_said_so(execute: Execute, unread: ReadModels) -> None:
    result = execute(unread, "{ events(first: 1) { asOfPosition } }")
    assert result.errors is not None
    assert codes(result) == ["UNAVAILABLE"]
