"""Foreign formats that Audit Trail recognises and does not read: a rejection says which it is, and what to send."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

Json = dict[str, Any]

WRAP = "send it as the data of a CloudEvent, or map it to a native event"


class Format(Struct, frozen=True):
    """A format: its name with an article, how to recognise an object of it, and what to do instead."""

    name: str
    matches: Callable[[Json], bool]
    advice: str = WRAP


def _has(*names: str) -> Callable[[Json], bool]:
    return lambda payload: all(name in payload for name in names)


def _starts(name: str, *prefixes: str) -> Callable[[Json], bool]:
    return lambda payload: isinstance(payload.get(name), str) and payload[name].startswith(prefixes)


_OBJECTS = (
    Format("a Kubernetes audit event", _starts("apiVersion", "audit.k8s.io/")),
    Format("an OCSF event", _has("class_uid", "category_uid")),
    Format("an event of the Elastic Common Schema", _has("@timestamp", "event")),
    Format("an event of the Elastic Common Schema", _has("@timestamp", "ecs")),
    Format("an AWS CloudTrail event", _has("eventVersion", "eventSource", "eventName")),
    Format("AWS CloudTrail's list of records", _has("Records")),
    Format("an Azure activity log event", _has("operationName", "resourceId", "category")),
    Format("a Google Cloud audit log entry", _has("protoPayload", "logName")),
    Format("a CADF event", _starts("typeURI", "http://schemas.dmtf.org/cloud/audit/")),
    Format("a GELF message", _has("version", "host", "short_message")),
    Format("an OpenTelemetry log", _has("resourceLogs")),
    Format("a Debezium change event", _has("payload", "schema")),
    Format("a Debezium change event", _has("op", "ts_ms", "source")),
    Format("an Okta system log event", _has("eventType", "published", "actor", "outcome")),
    Format(
        "a SCIM event or resource",
        lambda payload: _is_list_of(payload.get("schemas"), "urn:ietf:params:scim"),
    ),
    Format("an SQL audit record of pgAudit in JSON", _has("audit_type", "statement_id")),
    Format(
        "a batch of events",
        lambda payload: isinstance(payload.get("events"), list),
        "send one event per message",
    ),
)
_TEXTS = (
    (b"CEF:", "a CEF message"),
    (b"LEEF:", "a LEEF message"),
    (b"MSH|", "an HL7 version 2 message"),
    (b"<AuditMessage", "a DICOM audit message (XML)"),
    (b"<?xml", "XML"),
    (b"<", "XML or a syslog message"),
)


def _is_list_of(value: Any, prefix: str) -> bool:
    return isinstance(value, list) and bool(value) and str(value[0]).startswith(prefix)


def recognise(payload: Any) -> str:
    """What an object of a known foreign format is, and what to send instead; empty for any other object."""
    if not isinstance(payload, dict):
        return ""
    found = next((each for each in _OBJECTS if each.matches(payload)), None)
    return f"this looks like {found.name}; {found.advice}" if found else ""


def recognise_text(message: bytes) -> str:
    """The same for a message that is not JSON: by its first characters, also behind a syslog header."""
    start = message[:200].lstrip()
    for prefix, name in _TEXTS:
        if start.startswith(prefix) or (prefix in {b"CEF:", b"LEEF:"} and prefix in start):
            return f"this looks like {name}; send JSON: a native event, a CloudEvent or a FHIR AuditEvent"
    return ""
