"""A GraphQL document is parsed and judged in bounded time, whatever is in it."""

from __future__ import annotations

import time

import pytest
from graphql import GraphQLError
from graphql.validation import specified_rules

from domain.errors import RejectedError
from graphql_api.errors import QueryError
from graphql_api.execution.documents import MAX_ERRORS, Documents
from graphql_api.execution.introspection import without_hints
from graphql_api.limits import (
    MAX_FRAGMENTS,
    MAX_SAME,
    MAX_SAME_PLAIN,
    MAX_SPREADS,
    MAX_TEXT,
    size_rule,
)
from graphql_api.schema import make_schema
from queries import cursors
from queries.error_codes import Code
from queries.limits import QueryLimits
from tests.scaling import Hostile, assert_linear

LIMITS = QueryLimits()
SCHEMA = make_schema(LIMITS)._schema

UNKNOWN = "{ " + " ".join(f"f{n}" for n in range(900)) + " }"


def errors(text: str) -> list[GraphQLError]:
    documents = Documents(LIMITS, [size_rule(LIMITS)])
    return documents.validate(SCHEMA, text, documents.parse(text), ())


def judge(text: str) -> object:
    documents = Documents(LIMITS, [size_rule(LIMITS)])
    return documents.validate(SCHEMA, text, documents.parse(text), tuple(specified_rules))


def cursor(text: str) -> object:
    return cursors.decode_row_cursor(cursors._encode(text), "t", "o", descending=False)


CASES = [
    Hostile("escapes", judge, lambda size: '{ a(b: "' + "\\n" * (size // 2) + '") }'),
    Hostile("escapes without an end", judge, lambda size: '{ a(b: "' + "\\n" * (size // 2)),
    Hostile("a block of quotes", judge, lambda size: '{ a(b: """' + '\\"""' * (size // 4) + '""") }'),
    Hostile("a block of lines", judge, lambda size: '{ a(b: """' + " \n" * (size // 2) + 'x""") }'),
    Hostile("a number", judge, lambda size: "{ a(b: 1." + "1" * size + ") }"),
    Hostile("a name", judge, lambda size: "{ events" + "s" * size + " }"),
    Hostile("comments", judge, lambda size: "#\n" * (size // 2) + "{ a"),
    Hostile("lines, and then faults", judge, lambda size: "\n" * size + UNKNOWN),
    Hostile("an enum's value", judge, lambda size: "{ eventCounts(by: " + "ACTOR" * (size // 5) + ") { events } }"),
    Hostile("a message", without_hints, lambda size: "Value '" * (size // 7)),
    Hostile("a message of ends", without_hints, lambda size: "Value '" + "' does not exist in '" * (size // 21)),
    Hostile("a message of scalars", without_hints, lambda size: " cannot represent" * (size // 17)),
    Hostile("a message of errors", without_hints, lambda size: "Syntax Error: Unexpected " + "a" * size),
    Hostile("a cursor", lambda text: cursors.decode_cursor(text, "after"), lambda size: "A" * size),
    Hostile("a cursor of numbers", cursor, lambda size: 'r1:["t","o",false,[' + "5e-324," * (size // 7) + "0]]"),
    Hostile("a cursor of arrays", cursor, lambda size: 'r1:["t","o",false,' + "[" * size),
    Hostile("an id of colons", cursors.decode_id, lambda size: cursors._encode(":" * size)),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_judging_takes_time_in_proportion_to_the_text(case: Hostile) -> None:
    assert_linear(case, GraphQLError, RejectedError)


REPEATED = {
    "fields beside each other": "{ " + "treeHead { size } " * 400 + "}",
    "fields in fragments": "fragment f on Query { " + "treeHead { size } " * 200 + "} fragment g on Query { "
    + "treeHead { size } " * 200 + "} { ...f ...g }",
    "fields in fields": "{ " + ("treeHead { " + "size " * 40 + "} ") * 40 + "}",
    "fields in inline fragments": "{ " + "... { treeHead { size } } " * 250 + "}",
    "plain fields": "{ treeHead { " + "size " * 1900 + "} }",
    "fragments that double each other": "{ ...f0 } " + " ".join(
        f"fragment f{n} on Event {{ a: actor {{ ...f{n + 1} }} b: actor {{ ...f{n + 1} }} }}" for n in range(40)
    ),
}  # fmt: skip


def fragments(number: int, body: str = "size") -> str:
    spread = " ".join(f"...f{n}" for n in range(number))
    return f"{{ treeHead {{ {spread} }} }} " + " ".join(
        f"fragment f{n} on TreeHead {{ {body} }}" for n in range(number)
    )


@pytest.mark.parametrize(
    "text",
    [
        fragments(MAX_FRAGMENTS + 1),
        "{ treeHead { " + "...f " * (MAX_SPREADS + 1) + "} } fragment f on TreeHead { size }",
        "{ treeHead { ...f } } fragment g on TreeHead { size } fragment f on TreeHead { "
        + "...g " * MAX_SPREADS
        + "}",
    ],
    ids=["fragments", "spreads", "spreads in a fragment"],
)
def test_fragments_have_a_limit_since_each_is_compared_with_every_other(text: str) -> None:
    [error] = errors(text)
    assert str(MAX_FRAGMENTS) in error.message
    assert (error.extensions or {})["code"] == Code.LIMIT_EXCEEDED
    assert not errors(fragments(MAX_FRAGMENTS))


def test_a_document_has_a_limit_of_characters() -> None:
    query = "{ treeHead { size } }"
    assert not judge(query + " " * (MAX_TEXT - len(query)))
    assert not judge("#" + "x" * MAX_TEXT + "\n" + query + " " * MAX_TEXT)
    with pytest.raises(QueryError, match=str(MAX_TEXT)) as caught:
        judge(query + "#" + "x" * MAX_TEXT)
    assert caught.value.code is Code.LIMIT_EXCEEDED


@pytest.mark.parametrize("name", REPEATED)
def test_fields_that_are_repeated_too_often_are_refused_before_they_are_compared(name: str) -> None:
    began = time.thread_time()
    found = errors(REPEATED[name])
    assert {error.extensions["code"] for error in found if error.extensions} == {Code.LIMIT_EXCEEDED}
    assert time.thread_time() - began < 1


def test_a_field_may_be_repeated_up_to_the_limits() -> None:
    assert not errors("{ " + "treeHead { size } " * MAX_SAME + "}")
    assert not errors("{ treeHead { " + "size " * MAX_SAME_PLAIN + "} }")
    assert errors("{ " + "treeHead { size } " * (MAX_SAME + 1) + "}")
    assert errors("{ treeHead { " + "size " * (MAX_SAME_PLAIN + 1) + "} }")


def test_the_first_errors_of_an_invalid_document_are_told() -> None:
    found = judge("{ " + " ".join(f"f{n}" for n in range(50)) + " }")
    assert isinstance(found, list)
    assert [each.message for each in found] == [
        f"Cannot query field 'f{n}' on type 'Query'." for n in range(MAX_ERRORS)
    ]
