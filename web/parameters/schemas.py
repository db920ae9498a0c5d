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
from domain.event import MAX_IDENTIFIER, SCHEMA_VERSION, Action, AuditEvent

Schema = dict[str, Any]

_REF = "#/components/schemas/{name}"


def named(name: str) -> Schema:
    """A reference to a component of the document."""
    return {"$ref": _REF.format(name=name)}


def rule(schema: Schema) -> Schema:
    """A rule that generators of clients ignore: their languages have no type for it.

    Tools that generate requests and validate answers follow it.
    """
    return {"if": {}, "then": schema}


JSON: Schema = {"description": "Any JSON without U+0000."}
"""It does not refer to itself: generators of clients fail at that. So it does not say that texts have no U+0000."""
FILTER = named("EventFilter")

NO_NUL = "^[^\\u0000]*$"
TEXT: Schema = {"type": "string", "pattern": NO_NUL}
_CENTURIES = "^(19|[2-8][0-9]|9[0-8])[0-9]{2}-"
"""The years that an event may have: see `domain.validation.check`."""


EVENT_CURSOR = "^cDE6[A-Za-z0-9_-]{2,26}$"
HISTORY_CURSOR = "^aDE6[A-Za-z0-9_-]{4,40}$"
CONFIGURATION_CURSOR = "^YzE6[A-Za-z0-9_-]{4,40}$"
VIEW_CURSOR = "^djE6[A-Za-z0-9_-]+$"
ROW_CURSOR = "^cjE6[A-Za-z0-9_-]+$"
ALERT_CURSOR = "^YTE6[A-Za-z0-9_-]+$"
CASE_CURSOR = "^azE6[A-Za-z0-9_-]+$"
SUPPRESSION_CURSOR = "^czE6[A-Za-z0-9_-]+$"
REVIEW_CURSOR = "^dzE6[A-Za-z0-9_-]+$"
ITEM_CURSOR = "^aTE6[A-Za-z0-9_-]+$"
"""The form of cursors: Base64 (URL) of a letter, `1:`, and a place."""


def request_schemas(conditions: Mapping[str, Schema]) -> dict[str, Schema]:
    """The components that requests refer to. `conditions` are the parameters that are filters."""
    _, found = msgspec.json.schema_components(
        [AuditEvent], ref_template=_REF.replace("{name}", "Reported{name}")
    )
    reported = {f"Reported{name}": as_requested(for_generators(schema)) for name, schema in found.items()}
    for name in ("ReportedClient", "ReportedDevice", "ReportedRequest", "ReportedDisclosure"):
        reported[name]["type"] = ["object", "null"]
    event = reported["ReportedEvent"] = reported.pop("ReportedAuditEvent")
    event["description"] = "An event as it is reported: what the catalogue requires of its type is there."
    reported["ReportedSource"] |= rule({"anyOf": [_UNNUMBERED, _NUMBERED]})
    properties = event["properties"]
    properties["occurred_at"] |= rule({"pattern": _CENTURIES})
    properties["action"] = {"type": ["string", "null"], "pattern": f"^[{''.join(Action)}]$"}
    del reported["ReportedAction"]
    # The same values as in answers: generators for Go make constants of them, without the name of the type.
    for name in ("ActorKind", "Outcome"):
        del reported[f"Reported{name}"]
    properties["outcome"]["$ref"] = _REF.format(name="Outcome")
    reported["ReportedActor"]["properties"]["kind"]["$ref"] = _REF.format(name="ActorKind")
    properties["schema_version"]["enum"] = [SCHEMA_VERSION]
    properties["attributes"]["propertyNames"] = TEXT
    properties["attributes"]["additionalProperties"] = JSON
    for part in ("before", "after"):
        reported["ReportedChange"]["properties"][part] = JSON
    event |= rule({"anyOf": [_of_types(types, required) for required, types in _by_requirement().items()]})
    return reported | {
        "EventFilter": _filter(conditions),
        "CloudEvent": deepcopy(CLOUDEVENT),
        "FhirAuditEvent": deepcopy(FHIR_AUDIT_EVENT),
    }


def for_generators(schema: Any) -> Any:
    """The same schema in words that generators of clients understand.

    - They make types of their own from `anyOf` with null. A reference loses its null: answers omit such a field, and in
      a request the named component takes null itself.
    - One for TypeScript sends fields by the wrong names where `additionalProperties` is false.
    """
    if isinstance(schema, list):
        return [for_generators(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    known = {name: for_generators(value) for name, value in schema.items()}
    if known.get("additionalProperties") is False:
        del known["additionalProperties"]
        known["propertyNames"] = {"enum": sorted(known["properties"])}
    kinds = known.get("anyOf", [])
    if len(kinds) != 2 or kinds[1] != {"type": "null"}:
        return known
    rest = {name: value for name, value in known.items() if name not in {"anyOf", "default"}}
    return kinds[0] | ({} if "$ref" in kinds[0] else {"type": [kinds[0]["type"], "null"]}) | rest


def as_requested(schema: Any) -> Any:
    """A text may contain any character but U+0000, which PostgreSQL does not store.

    Defaults are left out: openapi-typescript requires a field that has one.
    """
    if isinstance(schema, list):
        return [as_requested(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    known = {name: as_requested(value) for name, value in schema.items() if name != "default"}
    free = known.get("type") in ("string", ["string", "null"]) and not {"enum", "format"} & known.keys()
    return known | {"pattern": NO_NUL} if free else known


def _by_requirement() -> dict[tuple[str, ...], list[str]]:
    found: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for entry in CATALOGUE.values():
        found[entry.required].append(entry.name)
    return found


_UNNUMBERED: Schema = {"properties": {"sequence": {"type": "null"}}}
_NUMBERED: Schema = {
    "properties": {"instance": {"type": "string", "minLength": 1, "maxLength": MAX_IDENTIFIER}},
    "required": ["instance"],
}
"""A source that numbers its events needs an instance: see `domain.validation.check`."""
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


def _filter(conditions: Mapping[str, Schema]) -> Schema:
    fields = {
        name: rule({"anyOf": [schema["items"], schema | {"minItems": 1}]})
        if schema.get("type") == "array"
        else schema
        for name, schema in conditions.items()
    }
    several = {"type": "array", "items": FILTER, "minItems": 1}
    fields |= {"and": several, "or": several, "not": FILTER}
    return {
        "description": "Conditions that must all hold; `and`, `or` and `not` hold filters themselves.",
        "type": "object",
        "properties": fields,
        "minProperties": 1,
        "propertyNames": {"enum": sorted(fields)},
    }


_ATTRIBUTE: Schema = {"type": ["string", "null"], "minLength": 1, "pattern": NO_NUL}
_NEEDED: Schema = {"type": "string", "minLength": 1, "pattern": NO_NUL}
_TIME: Schema = {"type": ["string", "null"], "format": "date-time"} | rule({"pattern": "^(?!000[01]|9999)"})
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
        "data": rule({"anyOf": [named("ReportedEvent"), named("FhirAuditEvent"), {"not": _MEANT}]}),
    },
    "required": ["specversion", "id", "source", "type"],
    "propertyNames": {"pattern": "^[a-z0-9]+$"},
    "additionalProperties": rule(
        {
            "anyOf": [
                TEXT,
                {"type": ["boolean", "null"]},
                {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
            ]
        }
    ),
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
        "outcome": rule({"type": ["string", "object", "null"], "pattern": NO_NUL, "propertyNames": TEXT}),
    },
    "required": ["resourceType"],
    "propertyNames": TEXT,
    "additionalProperties": JSON,
} | rule(
    {"anyOf": [{"required": [name], "properties": {name: schema}} for name, schema in _SUBSTANCE.items()]}
)


def one_good(item: Schema, description: str) -> Schema:
    """A list of events: invalid ones are reported one by one, and the others are accepted."""
    return {"type": "array", "description": description, "contains": item, "minItems": 1}
