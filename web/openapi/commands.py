"""Bodies of commands in the document: without the kind, and other fields that the path says."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from domain.cases.commands import Assign, CommandBody
from domain.reviews.commands import SEED, BeginReview
from web.parameters.schemas import FILTER, TEXT, Schema, as_requested, for_generators

_REF = "#/components/schemas/{name}"
_NOT_BLANK = "^[^\\u0000]*[^\\s\\u0000][^\\u0000]*$"
_PERSON = "Person"


def request_body(
    kind: type[CommandBody], example: dict[str, Any], from_path: Collection[str] = ()
) -> dict[str, Any]:
    """The documentation of a command's body. `from_path` are the fields that the path says."""
    schema = command_schema(kind, from_path)
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schema, "example": example}},
        }
    }


def command_schema(kind: type[CommandBody], from_path: Collection[str] = ()) -> Schema:
    """The schema of a command's body. A text that must say something is not blank."""
    _, found = msgspec.json.schema_components([kind], ref_template=_REF)
    person = _plain(found[_PERSON]) if _PERSON in found else {}
    schema = _plain(found[kind.__name__], from_path)
    for name, field in schema["properties"].items():
        if _is_person(field):
            schema["properties"][name] = person
        elif _is_person(field.get("items", {})):
            field["items"] = person
        elif (kind, name) == (BeginReview, "filter"):
            schema["properties"][name] = FILTER
        elif (kind, name) == (BeginReview, "seed"):
            field["pattern"] = SEED
        elif field.get("pattern") and (kind, name) != (Assign, "reason"):
            field["pattern"] = _NOT_BLANK
            field["minLength"] = 1
        elif field.get("type") == "object":
            field["propertyNames"] = TEXT | {"minLength": 1, "maxLength": 1024}
    return schema


def _is_person(schema: Schema) -> bool:
    return bool(schema.get("$ref", "").endswith(f"/{_PERSON}"))


def _plain(schema: Schema, without: Collection[str] = ()) -> Schema:
    """A struct's schema without its tag and some fields, and as requests are described."""
    properties = {
        name: each
        for name, each in schema["properties"].items()
        if name not in without and (name != "kind" or _is_kind(each))
    }
    required = [name for name in schema.get("required", ()) if name in properties]
    kept: dict[str, Any] = {
        "type": "object",
        "description": schema.get("description", ""),
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
    if not required:
        del kept["required"]
    plain: Schema = as_requested(for_generators(kept))
    return plain


def _is_kind(schema: Schema) -> bool:
    """Whether it is the kind of a person, and not the tag of a command."""
    return "enum" not in schema
