"""The schema as clients see it."""

from __future__ import annotations

from pathlib import Path

import pytest
from graphql import GraphQLInputObjectType, GraphQLInterfaceType, GraphQLObjectType, build_schema

import graphql_api
from domain.event import AuditEvent, RecordedEvent
from graphql_api.errors import QueryError, translated
from graphql_api.schema import sdl
from graphql_api.types.event import Event
from queries.cursors import decode_cursor, decode_id, encode_cursor, encode_id
from queries.error_codes import Code
from queries.filters.conditions import BY_FIELD, INTERNAL
from queries.filters.event_filter import GROUPS, EventFilter

SNAPSHOT = Path(graphql_api.__file__).with_name("schema.graphql")


def test_the_schema_is_the_one_that_the_repository_shows() -> None:
    assert sdl() == SNAPSHOT.read_text("utf-8"), (
        "write graphql_api.schema.sdl() to the file, and look at what changed"
    )


def test_every_type_field_and_argument_has_a_description() -> None:
    schema = build_schema(sdl())
    bare = []
    for name, kind in schema.type_map.items():
        if name.startswith("__") or not isinstance(
            kind, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType
        ):
            continue
        bare += [] if kind.description else [name]
        for field_name, field in kind.fields.items():
            bare += [] if field.description else [f"{name}.{field_name}"]
            arguments = getattr(field, "args", {})
            bare += [
                f"{name}.{field_name}({arg})" for arg, value in arguments.items() if not value.description
            ]
    assert bare == []


def test_an_event_shows_every_field_that_is_recorded() -> None:
    shown = set(Event.__dataclass_fields__)
    assert set(AuditEvent.__struct_fields__) | set(RecordedEvent.__struct_fields__) - {"event"} <= shown


def test_the_filter_offers_every_condition_of_the_read_models() -> None:
    offered = build_schema(sdl()).type_map["EventFilter"]
    assert isinstance(offered, GraphQLInputObjectType)
    camel = {
        "".join([w if i == 0 else w.title() for i, w in enumerate(name.split("_"))])
        for name in EventFilter.__struct_fields__
        if name in GROUPS or BY_FIELD[name] not in INTERNAL
    }
    assert set(offered.fields) == camel


@pytest.mark.parametrize("position", [0, 1, 2**31, 2**63 - 1])
def test_a_cursor_gives_back_its_position(position: int) -> None:
    assert decode_cursor(encode_cursor(position), "after") == position


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "é", "cDE6", "cDE6LTE", "cDI6MQ", "cDE6MQ==", "cDE6MDE", encode_id("p1", "9" * 30), "cDE6MQ\n"],
)
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(QueryError) as caught, translated():
        decode_cursor(cursor, "after")
    assert caught.value.code is Code.BAD_CURSOR


def test_an_id_of_a_node_may_hold_any_characters() -> None:
    assert decode_id(encode_id("PatientActivity", "a:b/é")) == ("PatientActivity", "a:b/é")
