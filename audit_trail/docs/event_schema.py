"""The JSON Schema of a native event, from the struct that ingest decodes it into.

Publishers rely on it. So a field is never removed or narrowed: a test compares it with the released one.
"""

from __future__ import annotations

import inspect
import json
from typing import Any

import msgspec

from domain.event import MAX_IDENTIFIER, SCHEMA_VERSION, AuditEvent

Schema = dict[str, Any]

ADDITIONS = 1
"""How often fields were added to this schema version. Raise it with an addition, once for each release."""
VERSION = f"{SCHEMA_VERSION}.{ADDITIONS}.0"
"""The version of the schema and of the AsyncAPI document. What satisfies an older one satisfies this one."""
_ID = f"urn:audit-trail:schema:audit-event:{SCHEMA_VERSION}"
_NUMBERED: Schema = {
    "if": {"properties": {"sequence": {"type": "integer"}}, "required": ["sequence"]},
    "then": {
        "properties": {"instance": {"type": "string", "minLength": 1, "maxLength": MAX_IDENTIFIER}},
        "required": ["instance"],
    },
}
"""Of a source: see `domain.validation.check`."""


def event_schema() -> str:
    """The text of the JSON Schema."""
    described = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": _ID,
        "$comment": f"version {VERSION}",
        "title": "AuditEvent",
        "$ref": "#/$defs/AuditEvent",
        "$defs": components([AuditEvent], "#/$defs/{name}"),
    }
    return json.dumps(described, indent=2) + "\n"


def components(kinds: list[type[msgspec.Struct]], reference: str) -> dict[str, Schema]:
    """The schemas of some structs and of the structs in them, by name. `reference` is the form of a reference."""
    _, found = msgspec.json.schema_components(kinds, ref_template=reference)
    described = {name: _described(schema) for name, schema in found.items()}
    described["Source"] |= _NUMBERED
    return described


def _described(schema: Schema) -> Schema:
    """Descriptions come from docstrings, with the indentation of the source."""
    return {**schema, "description": inspect.cleandoc(schema["description"])}
