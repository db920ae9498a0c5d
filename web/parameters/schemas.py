"""JSON Schemas of requests, more exact than those of the types in the code.

A tool that generates requests from the document makes valid ones, and knows which must be refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import msgspec

from domain.catalogue import CATALOGUE
from domain.event import SCHEMA_VERSION, AuditEvent

Schema = dict[str, Any]

_REF = "#/components/schemas/{name}"


def named(name: str) -> Schema:
    """A reference to a component of the document."""
    return {"$ref": _REF.format(name=name)}


JSON = named("Json")
FILTER = named("EventFilter")

NO_NUL = "^[^\\u0000]*$"
TEXT: Schema = {"type": "string", "pattern": NO_NUL}
_CENTURIES = "^(19|[2-8][0-9]|9[0-8])[0-9]{2}-"
"""The years that an event may have: see `domain.validation.check`."""


EVENT_CURSOR = "^cDE6[A-Za-z0-9_-]{2,26}$"
HISTORY_CURSOR = "^aDE6[A-Za-z0-9_-]{4,40}$"
ROW_CURSOR = "^cjE6[A-Za-z0-9_-]+$"
"""The form of cursors: Base64 (URL) of a letter, `1:`, and a place."""


def request_schemas(conditions: Mapping[str, Schema]) -> dict[str, Schema]:
    """The components that requests refer to. `conditions` are the parameters that are filters."""
    _, found = msgspec.json.schema_components(
        [AuditEvent], ref_template=_REF.replace("{name}", "Reported{name}")
    )
    reported = {f"Reported{name}": _without_nul(schema) for name, schema in found.items()}
    event = reported["ReportedEvent"] = reported.pop("ReportedAuditEvent")
    event["description"] = "An event as it is reported: what the catalogue requires of its type is there."
    properties = event["properties"]
    properties["occurred_at"]["pattern"] = _CENTURIES
    properties["schema_version"]["enum"] = [SCHEMA_VERSION]
    properties["attributes"]["propertyNames"] = TEXT
    properties["attributes"]["additionalProperties"] = JSON
    for part in ("before", "after"):
        reported["ReportedChange"]["properties"][part] = JSON
    event["anyOf"] = [_of_types(types, required) for required, types in _by_requirement().items()]
    return reported | {
        "Json": _json(),
        "EventFilter": _filter(conditions),
        "CloudEvent": CLOUDEVENT,
        "FhirAuditEvent": FHIR_AUDIT_EVENT,
    }


def _without_nul(schema: Any) -> Any:
    """A text may contain any character but U+0000, which PostgreSQL does not store."""
    if isinstance(schema, list):
        return [_without_nul(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    known = {name: _without_nul(value) for name, value in schema.items()}
    free = known.get("type") == "string" and not {"enum", "format"} & known.keys()
    return known | {"pattern": NO_NUL} if free else known


def _by_requirement() -> dict[tuple[str, ...], list[str]]:
    found: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for entry in CATALOGUE.values():
        found[entry.required].append(entry.name)
    return found


_PRESENT: dict[str, Schema] = {
    "resources": {"minItems": 1},
    "patients": {"minItems": 1},
    "disclosure": {"type": "object"},
    "session": {"type": "string"},
    "reason": {"type": "string", "minLength": 1},
    "device": {"type": "object"},
    "request": {"type": "object"},
}
"""A nullable field as a required one."""


def _of_types(types: list[str], required: tuple[str, ...]) -> Schema:
    properties: dict[str, Schema] = {"type": {"enum": types}}
    for path in required:
        if path == "actor.id":
            properties["actor"] = {"required": ["id"], "properties": {"id": {"type": "string"}}}
        else:
            properties[path] = deepcopy(_PRESENT[path])
    return {"properties": properties, "required": [path for path in required if "." not in path]}


def _json() -> Schema:
    return {
        "description": "Any JSON without U+0000.",
        "anyOf": [
            {"type": ["null", "boolean", "number"]},
            TEXT,
            {"type": "array", "items": JSON},
            {"type": "object", "propertyNames": TEXT, "additionalProperties": JSON},
        ],
    }


def _filter(conditions: Mapping[str, Schema]) -> Schema:
    one_or_more = {
        name: {"anyOf": [schema["items"], schema | {"minItems": 1}]}
        if schema.get("type") == "array"
        else schema
        for name, schema in conditions.items()
    }
    several = {"type": "array", "items": FILTER, "minItems": 1}
    return {
        "description": "Conditions that must all hold; `and`, `or` and `not` hold filters themselves.",
        "type": "object",
        "properties": {**one_or_more, "and": several, "or": several, "not": FILTER},
        "minProperties": 1,
        "additionalProperties": False,
    }


_ATTRIBUTE: Schema = {"type": ["string", "null"], "minLength": 1, "pattern": NO_NUL}
_NEEDED: Schema = {"type": "string", "minLength": 1, "pattern": NO_NUL}
_TIME: Schema = {"type": ["string", "null"], "format": "date-time", "pattern": "^(?!000[01]|9999)"}
_OURS = ("event_id", "type", "occurred_at", "source", "actor")
_MEANT: Schema = {
    "type": "object",
    "anyOf": [
        *({"required": [name for name in _OURS if name != missing]} for missing in _OURS),
        {"required": ["resourceType"], "properties": {"resourceType": {"const": "AuditEvent"}}},
    ],
}
"""Data in a format that is validated: see `interop.cloudevents`."""
CLOUDEVENT: Schema = {
    "type": "object",
    "description": "A CloudEvent 1.0. Its data is an event as of application/json, or anything. What is not JSON comes "
    "as `data_base64` in place of `data`.",
    "properties": {
        "specversion": {"const": "1.0"},
        "id": _NEEDED,
        "source": _NEEDED,
        "type": _NEEDED,
        "time": _TIME,
        "subject": _ATTRIBUTE,
        "dataschema": _ATTRIBUTE,
        "datacontenttype": {
            "type": ["string", "null"],
            "pattern": "^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+$",
        },
        "data": {
            "anyOf": [named("ReportedEvent"), named("FhirAuditEvent"), {"allOf": [JSON, {"not": _MEANT}]}]
        },
    },
    "required": ["specversion", "id", "source", "type"],
    "propertyNames": {"pattern": "^[a-z0-9]+$"},
    "additionalProperties": {
        "anyOf": [
            TEXT,
            {"type": ["boolean", "null"]},
            {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
        ]
    },
}
_OBJECT: Schema = {"type": ["object", "null"], "propertyNames": TEXT, "additionalProperties": JSON}
_LIST: Schema = {"type": ["array", "null"], "items": JSON}
_SUBSTANCE: dict[str, Schema] = {
    "type": {"type": "object", "minProperties": 1},
    "code": {"type": "object", "minProperties": 1},
    "source": {"type": "object", "minProperties": 1},
    "subtype": {"type": "array", "minItems": 1},
    "category": {"type": "array", "minItems": 1},
    "agent": {"type": "array", "minItems": 1},
}
"""At least one of them is required: else the resource is empty."""
FHIR_AUDIT_EVENT: Schema = {
    "type": "object",
    "description": "A FHIR AuditEvent, R4 or R5. What breaks a profile is kept all the same.",
    "properties": {
        "resourceType": {"const": "AuditEvent"},
        **dict.fromkeys(("type", "code", "source", "period"), _OBJECT),
        **dict.fromkeys(("subtype", "category", "agent", "entity", "contained"), _LIST),
        "recorded": _TIME,
        "action": {"type": ["string", "null"], "pattern": NO_NUL},
        "outcome": {
            "type": ["string", "object", "null"],
            "pattern": NO_NUL,
            "propertyNames": TEXT,
            "additionalProperties": JSON,
        },
    },
    "required": ["resourceType"],
    "anyOf": [{"required": [name], "properties": {name: schema}} for name, schema in _SUBSTANCE.items()],
    "propertyNames": TEXT,
    "additionalProperties": JSON,
}


def one_good(item: Schema, description: str) -> Schema:
    """A list of events: invalid ones are reported one by one, and the others are accepted."""
    return {"type": "array", "description": description, "contains": item, "minItems": 1}
