"""The AsyncAPI 3.0 document of what publishers send: to the topic, and to `POST /v1/events`."""

from __future__ import annotations

import json
from typing import Any

from audit_trail.docs.event_schema import VERSION, Schema, components
from audit_trail.settings import Settings
from domain.event import AuditEvent
from web.http.problems import MEDIA_TYPE as PROBLEM
from web.http.problems import Problem
from web.openapi.bodies import NATIVE_EXAMPLE
from web.parameters.schemas import CLOUDEVENT, FHIR_AUDIT_EVENT
from web.rest.event_intake import CLOUDEVENT as CLOUDEVENT_TYPE
from web.rest.event_intake import CLOUDEVENTS, EXAMPLE, FHIR, NATIVE, Accepted
from web.settings import WebSettings

_REFERENCE = "#/components/schemas/{name}"
_TOPIC = Settings.model_fields["kafka_topics"].default[0]
_MOST = WebSettings().max_publish_events
_KEY: Schema = {
    "type": "string",
    "description": "Records of one key stay in order: the patient's id, else the actor's, else the service.",
}
_CLOUDEVENT_HEADERS: Schema = {
    "type": "object",
    "description": "Binary mode: an attribute is the header `ce_NAME` on Kafka, `ce-NAME` over HTTP.",
    "properties": {
        "ce_specversion": {"const": "1.0"},
        **{f"ce_{name}": {"type": "string", "minLength": 1} for name in ("id", "source", "type")},
    },
    "required": ["ce_specversion", "ce_id", "ce_source", "ce_type"],
}


def asyncapi_document() -> str:
    """The text of the document."""
    document = {
        "asyncapi": "3.0.0",
        "id": "urn:audit-trail",
        "info": {
            "title": "Audit Trail: publishing events",
            "version": VERSION,
            "description": "How services report audit events. The catalogue (docs/reference/catalogue.md) says which"
            " fields a type requires. A later version of this document only adds to it.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": NATIVE,
        "servers": {
            "kafka": {
                "host": "kafka:9092",
                "protocol": "kafka",
                "description": "The brokers of the site.",
            },
            "api": {
                "host": "audit-trail.example",
                "protocol": "https",
                "description": "The API of the site.",
                "security": [{"$ref": "#/components/securitySchemes/token"}],
            },
        },
        "channels": {"topic": _topic(), "post": _post()},
        "operations": _operations(),
        "components": {
            "schemas": _schemas(),
            "messages": _messages(),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A JSON Web Token of a trusted issuer, or an API token, with the role `publisher`.",
                }
            },
        },
    }
    return json.dumps(document, indent=2) + "\n"


_ON_TOPIC = ("event", "cloudEvent", "binaryCloudEvent", "fhirAuditEvent")
_POSTED = (*_ON_TOPIC, "events", "cloudEvents", "fhirAuditEvents")
_ANSWERS = ("accepted", "refused")


def _topic() -> dict[str, Any]:
    return {
        "address": _TOPIC,
        "title": "The topic",
        "description": "The topic of AUDIT_TRAIL_KAFKA_TOPICS; `audit.events` unless that names another.",
        "servers": [{"$ref": "#/servers/kafka"}],
        "messages": _of_components(_ON_TOPIC),
        "bindings": {
            "kafka": {"topicConfiguration": {"cleanup.policy": ["delete"]}, "bindingVersion": "0.5.0"}
        },
    }


def _post() -> dict[str, Any]:
    return {
        "address": "/v1/events",
        "title": "POST",
        "description": "The same messages over HTTP. One request may hold an array of them.",
        "servers": [{"$ref": "#/servers/api"}],
        "messages": _of_components((*_POSTED, *_ANSWERS)),
    }


def _of_components(names: tuple[str, ...]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/messages/{name}"} for name in names}


def _operations() -> dict[str, Any]:
    return {
        "receiveFromTopic": {
            "action": "receive",
            "channel": {"$ref": "#/channels/topic"},
            "summary": "Records each message once. A message that can't be accepted becomes a dead letter.",
            "messages": [{"$ref": f"#/channels/topic/messages/{name}"} for name in _ON_TOPIC],
        },
        "receivePost": {
            "action": "receive",
            "channel": {"$ref": "#/channels/post"},
            "summary": "Answers when Kafka has the accepted events on all in-sync replicas.",
            "messages": [{"$ref": f"#/channels/post/messages/{name}"} for name in _POSTED],
            "bindings": {"http": {"method": "POST", "bindingVersion": "0.3.0"}},
            "reply": {
                "channel": {"$ref": "#/channels/post"},
                "messages": [{"$ref": f"#/channels/post/messages/{name}"} for name in _ANSWERS],
            },
        },
    }


def _schemas() -> dict[str, Schema]:
    native = components([AuditEvent, Accepted, Problem], _REFERENCE)
    data = {"description": "An event of one of the other messages, or anything."}
    cloudevent = {**CLOUDEVENT, "properties": {**CLOUDEVENT["properties"], "data": data}}
    return native | {"CloudEvent": cloudevent, "FhirAuditEvent": FHIR_AUDIT_EVENT}


def _messages() -> dict[str, Any]:
    event, cloudevent, fhir = map(_named, ("AuditEvent", "CloudEvent", "FhirAuditEvent"))
    messages = {
        "event": _message("A native event", NATIVE, event, NATIVE_EXAMPLE),
        "cloudEvent": _message("A CloudEvent 1.0 in structured mode", CLOUDEVENT_TYPE, cloudevent),
        "binaryCloudEvent": _message("A CloudEvent in binary mode: the value is its data", NATIVE, {})
        | {"headers": _CLOUDEVENT_HEADERS},
        "fhirAuditEvent": _message("A FHIR AuditEvent, R4 or R5", FHIR, fhir),
        "events": _message("Several native events", NATIVE, _several(event)),
        "cloudEvents": _message("Several CloudEvents", CLOUDEVENTS, _several(cloudevent)),
        "fhirAuditEvents": _message("Several FHIR AuditEvents", FHIR, _several(fhir)),
        "accepted": _message("What became of each event", NATIVE, _named("Accepted"), EXAMPLE),
        "refused": _message("Why nothing was accepted", PROBLEM, _named("Problem")),
    }
    for name in _ON_TOPIC:
        messages[name]["bindings"] = {"kafka": {"key": _KEY, "bindingVersion": "0.5.0"}}
    messages["accepted"]["bindings"] = {"http": {"statusCode": 202, "bindingVersion": "0.3.0"}}
    return messages


def _named(name: str) -> Schema:
    return {"$ref": _REFERENCE.format(name=name)}


def _several(item: Schema) -> Schema:
    """An array: invalid items are reported, and the others are accepted."""
    return {"type": "array", "contains": item, "minItems": 1, "maxItems": _MOST}


def _message(title: str, content_type: str, payload: Schema, example: Any = None) -> dict[str, Any]:
    examples = {} if example is None else {"examples": [{"payload": example}]}
    return {"title": title, "contentType": content_type, "payload": payload} | examples
