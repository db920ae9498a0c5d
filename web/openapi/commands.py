"""Schemas of the commands about cases, as requests send them: without the kind, which the path names."""

from __future__ import annotations

from typing import Any

import msgspec

from domain.cases.commands import Assign, Body
from web.parameters.schemas import TEXT, Schema, as_requested, for_generators

_REF = "#/components/schemas/{name}"
_NOT_BLANK = "^[^\\u0000]*[^\\s\\u0000][^\\u0000]*$"
_PERSON = "Person"


def command_schema(kind: type[Body]) -> Schema:
    """The schema of a command's body. A text that must say something is not blank."""
    _, found = msgspec.json.schema_components([kind], ref_template=_REF)
    person = _plain(found[_PERSON]) if _PERSON in found else {}
    schema = _plain(found[kind.__name__])
    for name, field in schema["properties"].items():
        if field.get("$ref", "").endswith(f"/{_PERSON}"):
            schema["properties"][name] = person
        elif field.get("pattern") and (kind, name) != (Assign, "reason"):
            field["pattern"] = _NOT_BLANK
            field["minLength"] = 1
        elif field.get("type") == "object":
            field["propertyNames"] = TEXT | {"minLength": 1, "maxLength": 1024}
    return schema


def _plain(schema: Schema) -> Schema:
    """A struct's schema without its tag, and as requests are described."""
    properties = {
        name: each for name, each in schema["properties"].items() if name != "kind" or _is_kind(each)
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
