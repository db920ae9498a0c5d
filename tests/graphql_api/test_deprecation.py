"""The promise to clients: what was released stays, until its deprecation has run out."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from graphql import (
    BreakingChangeType,
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    build_schema,
    find_breaking_changes,
)

from graphql_api.schema import sdl

RELEASED = Path(__file__).parents[2] / "docs" / "reference" / "schema-released.graphql"
REASON = re.compile(r"Use .+ instead\. Removed after (\d{4}-\d{2}-\d{2})\.")
REMOVALS = {
    BreakingChangeType.FIELD_REMOVED,
    BreakingChangeType.ARG_REMOVED,
    BreakingChangeType.VALUE_REMOVED_FROM_ENUM,
}


def deprecated(schema: GraphQLSchema) -> dict[str, str]:
    """The reasons, by what is deprecated: ``Type.field``, ``Type.field.argument`` or ``Enum.VALUE``."""
    found: dict[str, str | None] = {}
    for name, kind in schema.type_map.items():
        if isinstance(kind, GraphQLEnumType):
            found |= {f"{name}.{key}": value.deprecation_reason for key, value in kind.values.items()}
        elif isinstance(kind, GraphQLInputObjectType):
            found |= {f"{name}.{key}": value.deprecation_reason for key, value in kind.fields.items()}
        elif isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
            for key, field in kind.fields.items():
                found[f"{name}.{key}"] = field.deprecation_reason
                found |= {f"{name}.{key}.{arg}": each.deprecation_reason for arg, each in field.args.items()}
    return {name: reason for name, reason in found.items() if reason is not None}


def until(reason: str) -> date | None:
    """The day that a reason names; None when it names none, or not what to use instead."""
    found = REASON.fullmatch(reason)
    return None if found is None else date.fromisoformat(found[1])


def broken_promises(old: GraphQLSchema, new: GraphQLSchema, today: date) -> list[str]:
    """What of `old` a client can no longer ask of `new`, and may rely on still."""
    over = {name for name, reason in deprecated(old).items() if (day := until(reason)) and day < today}
    found = []
    for change in find_breaking_changes(old, new):
        names = set(
            re.findall(r"[A-Za-z_]\w*(?:\.\w+)+", change.description.replace("(", ".").replace(":", ""))
        )
        if change.type not in REMOVALS or not names & over:
            found.append(change.description)
    return found


def test_nothing_that_was_released_is_taken_from_clients_before_its_time() -> None:
    released, now = build_schema(RELEASED.read_text("utf-8")), build_schema(sdl())
    assert broken_promises(released, now, datetime.now(UTC).date()) == []


def test_every_deprecation_says_what_to_use_instead_and_until_when() -> None:
    wrong = [name for name, reason in deprecated(build_schema(sdl())).items() if until(reason) is None]
    assert wrong == []


OLD = """
type Query { a: Int b: Int @deprecated(reason: "Use `a` instead. Removed after 2026-06-30.") c(d: Int): E }
enum E { X Y @deprecated(reason: "Use `X` instead. Removed after 2026-06-30.") }
"""


@pytest.mark.parametrize(
    ("new", "today", "broken"),
    [
        ("type Query { a: Int b: Int c(d: Int): E } enum E { X Y }", "2026-06-30", 0),
        ("type Query { a: Int c(d: Int): E } enum E { X }", "2026-07-01", 0),
        ("type Query { a: Int c(d: Int): E } enum E { X }", "2026-06-30", 2),
        ("type Query { b: Int c(d: Int): E } enum E { X Y }", "2027-01-01", 1),
        ("type Query { a: Int b: Int c: E } enum E { X Y }", "2027-01-01", 1),
        ("type Query { a: Int b: Int c(d: Int, e: Int!): E } enum E { X Y }", "2027-01-01", 1),
        ("type Query { a: String b: Int c(d: Int): E } enum E { X Y }", "2027-01-01", 1),
    ],
)
def test_a_broken_promise_is_noticed(new: str, today: str, broken: int) -> None:
    found = broken_promises(build_schema(OLD), build_schema(new), date.fromisoformat(today))
    assert len(found) == broken, found
