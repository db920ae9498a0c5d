"""Compiled selections answer as graphql-core does, whatever is asked and whatever the data is."""

from __future__ import annotations

import asyncio

from graphql import get_introspection_query, parse, validate
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from graphql_api.execution.compiled_selections import MAX_FIELDS, SelectionPlan
from graphql_api.execution.documents import MAX_DOCUMENTS
from graphql_api.execution.executor import MAX_CHOICES
from graphql_api.schema import AuditTrailSchema
from tests.graphql_api.execution.both_executors import (
    PLAIN,
    UNLIKE,
    WRONG,
    Both,
    executor_of,
)
from tests.graphql_api.execution.random_queries import Query, queries

PAGES = (
    "(first: 3)",
    "(first: $size)",
    "(last: 2)",
    "(first: 2, last: 1)",
    '(first: 2, filter: {patient: "17"})',
    "(first: 4, filter: {actor: $who})",
)
ARGUMENTS = {
    "Query.events": PAGES,
    "Query.event": ('(id: "00000000-0000-0000-0000-000000000000")',),
    "Query.patient": ('(id: "17")', '(id: "none")', '(id: "17", limit: 0)'),
    "Query.user": ('(id: "ada")',),
    "Query.device": ('(id: "pump-1")',),
    "Query.service": ('(name: "vitals")',),
    "Query.resource": ('(type: "Observation", id: "o-17")',),
    "Query.node": (
        '(id: "nonsense")',
        '(id: "UGF0aWVudEFjdGl2aXR5OjE3")',
        '(id: "VXNlckFjdGl2aXR5OmFkYQ")',
    ),
    "Query.projection": ('(name: "patient")',),
    "Query.treeHead": ("", "(size: 3)"),
    "Query.consistencyProof": ("(from: 3, to: 10)",),
    "Event.inclusionProof": ("", "(treeSize: 4)"),
    "ProjectionModel.rows": ('(first: 2, table: "patient_timeline")',),
    **{f"{name}Activity.timeline": PAGES for name in ("Patient", "User", "Device", "Service", "Resource")},
}


PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""Without shrinking: it could take minutes, and the first query that is found says enough."""


_OF_EVENTS = (
    *(
        "event_id",
        "type",
        "occurred_at",
        "source",
        "actor",
        "action",
        "outcome",
        "session",
        "client",
        "patients",
    ),
    *("resources", "changes", "purpose_of_use", "emergency", "attributes", "schema_version"),
    *("actor.kind", "actor.id", "actor.roles", "source.service", "client.address"),
)
PATHS = ["position", "recorded_at", "stream", *(f"event.{path}" for path in _OF_EVENTS)]


def test_random_queries_of_random_data_are_answered_alike(both: Both) -> None:
    schema = both.ours._schema
    wrong = st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(PATHS), st.sampled_from(sorted(WRONG))), max_size=3
    )

    # Each example takes a second.
    few = settings().max_examples * 2 // 5

    @settings(max_examples=few, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
    @given(queries(schema, ARGUMENTS), wrong)
    def alike(query: Query, wrong: list[tuple[int, str, str]]) -> None:
        assume(not validate(schema, parse(query.text)))
        assume(
            not any(path in {"position", "event.event_id"} and value in UNLIKE for _, path, value in wrong)
        )
        ours, theirs = both.answers(query, wrong)
        assert ours == theirs

    alike()


def plans(schema: AuditTrailSchema) -> list[SelectionPlan | None]:
    """The plans that the schema's executor has made."""
    return [
        plan
        for document in executor_of(schema).documents.values()
        for choice in document.choices.values()
        for plan in choice.values()
    ]


def test_a_page_of_plain_fields_is_answered_by_one_function(both: Both) -> None:
    ours, theirs = both.answers(Query(PLAIN, {}), [])
    assert ours == theirs
    (plan,) = plans(both.ours)
    assert plan is not None
    assert plan.remaining == {}


def test_a_field_with_a_resolver_is_left_to_graphql_core_and_stays_in_its_place(both: Both) -> None:
    text = "{ events(first: 2) { nodes { type inclusionProof(treeSize: 4) { leafIndex } position } } }"
    ours, theirs = both.answers(Query(text, {}), [])
    assert ours == theirs
    assert [tuple(plan.remaining) for plan in plans(both.ours) if plan and plan.remaining] == [
        ("inclusionProof",)
    ]


def test_variables_of_directives_never_meet_another_requests_plan(both: Both) -> None:
    text = """query ($a: Boolean!, $b: Boolean!) { events(first: 1) {
      nodes { type @include(if: $a) position @skip(if: $b) outcome @skip(if: $a) @include(if: $b) }
    } }"""
    found = set()
    for _ in range(2):
        for a, b in ((True, True), (True, False), (False, True), (False, False)):
            ours, theirs = both.answers(Query(text, {"a": a, "b": b}), [])
            assert ours == theirs
            found.add(ours)
    assert len(found) == 4


def test_a_document_of_more_fields_than_are_compiled_is_answered_alike(both: Both) -> None:
    many = " ".join(f"a{number}: type" for number in range(MAX_FIELDS + 10))
    ours, theirs = both.answers(Query(f"{{ events(first: 2) {{ nodes {{ {many} }} }} }}", {}), [])
    assert ours == theirs


def test_the_schemas_description_of_itself_is_answered_alike(both: Both) -> None:
    ours, theirs = both.answers(Query(get_introspection_query(input_value_deprecation=True), {}), [])
    assert ours == theirs


def test_no_number_of_documents_fills_the_memory(both: Both) -> None:
    async def ask() -> None:
        directives = " ".join(f"$v{number}: Boolean!" for number in range(5))
        fields = " ".join(f"f{number}: type @skip(if: $v{number})" for number in range(5))
        text = f'query ({directives}) {{ event(id: "{"0" * 8}-0000-0000-0000-{"0" * 12}") {{ {fields} }} }}'
        for number in range(2**5):
            variables = {f"v{bit}": bool(number >> bit & 1) for bit in range(5)}
            await both.ask(both.ours, Query(text, variables), [])
        for number in range(MAX_DOCUMENTS + 20):
            await both.ask(both.ours, Query(f"{{ a{number}: __typename }}", {}), [])
            if number == 0:
                choices.extend(len(document.choices) for document in executor.documents.values())

    executor = executor_of(both.ours)
    choices: list[int] = []
    asyncio.run(ask())
    assert choices == [MAX_CHOICES, 1]
    assert len(executor.documents) == MAX_DOCUMENTS
