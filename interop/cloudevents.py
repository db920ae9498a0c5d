"""CloudEvents 1.0 (JSON event format and Kafka protocol binding) to `AuditEvent`.

The data decides. Data that is an audit event, native or FHIR, becomes that event, with its own event id. For any other
data, the attributes become an ``event.unclassified``; the data itself stays in the stored message.

`source` and `id` together identify a CloudEvent. An `id` that is a UUID is unique alone and becomes the event id, so
that the producer can find the event by it. Otherwise the event id is the UUID version 5 of ``source NUL id``.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec

from domain.catalogue import GENERIC_TYPE
from domain.errors import InvalidEventError
from domain.event import Actor, ActorKind, AuditEvent, Coding, Patient, Resource, Source
from domain.validation import decode_event
from interop import truncation
from interop.cloudevents_envelope import Envelope, read_binary, read_structured
from interop.fhir import audit_event
from interop.fhir.elements import Target, parse_reference

_NAMESPACE = uuid5(NAMESPACE_URL, "urn:audit-trail:cloudevents")
_NATIVE_FIELDS = {"event_id", "type", "occurred_at", "source", "actor"}
_TRACE_PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*")

# The values of `authtype` in the Auth Context extension of CloudEvents.
_KINDS = {
    "app_user": ActorKind.USER,
    "user": ActorKind.USER,
    "service_account": ActorKind.SERVICE,
    "api_key": ActorKind.SERVICE,
    "system": ActorKind.SERVICE,
}


def from_structured(payload: Any, received_at: datetime) -> AuditEvent:
    """The audit event of a CloudEvent in JSON. Raises `InvalidEventError` if the specification forbids it."""
    return _to_event(read_structured(payload), received_at)


def from_binary(
    headers: dict[str, bytes], content_type: str, value: bytes, received_at: datetime
) -> AuditEvent:
    """The audit event of a CloudEvent with attributes in `headers` (without ``ce_``) and data in `value`."""
    return _to_event(read_binary(headers, content_type, value), received_at)


def _to_event(envelope: Envelope, received_at: datetime) -> AuditEvent:
    data = envelope.json_object()
    moment = envelope.time or received_at
    if data.get("resourceType") == audit_event.RESOURCE_TYPE:
        return _of_data(lambda: audit_event.read_audit_event(data, moment))
    # A foreign event may have a `type` and a `source` too. Data with four of the five required fields counts as a
    # native event: then the missing fifth field is an error to report, not a sign of another format.
    if len(_NATIVE_FIELDS & data.keys()) >= len(_NATIVE_FIELDS) - 1:
        return _of_data(lambda: decode_event(msgspec.json.encode(data)))
    return _unclassified(envelope, moment)


def _of_data(read: Any) -> AuditEvent:
    try:
        event: AuditEvent = read()
    except InvalidEventError as exc:
        path = f"data.{exc.field}" if exc.field else "data"
        raise InvalidEventError(exc.reason, exc.message, field=path) from exc
    return event


def _unclassified(envelope: Envelope, moment: datetime) -> AuditEvent:
    attributes = envelope.attributes
    subject = _subject(attributes.get("subject"))
    return AuditEvent(
        event_id=event_id(envelope.source, envelope.id),
        type=GENERIC_TYPE,
        occurred_at=moment,
        source=Source(service=truncation.identifier(envelope.source) or "unknown"),
        actor=Actor(
            kind=_KINDS.get(str(attributes.get("authtype")), ActorKind.UNKNOWN),
            id=truncation.identifier(_string(attributes.get("authid"))),
        ),
        patients=_patients(subject),
        resources=_resources(subject),
        correlation_id=_correlation_id(attributes),
        codes=(Coding(system=truncation.name(envelope.source), code=truncation.name(envelope.type)),),
        attributes=attributes,
    )


def event_id(source: str, id: str) -> UUID:
    """The event id of the CloudEvent that `source` and `id` identify."""
    return truncation.uuid(id) or uuid5(_NAMESPACE, f"{source}\0{id}")


def _subject(value: Any) -> Target:
    subject = _string(value)
    return parse_reference(subject) if subject else Target()


def _patients(subject: Target) -> tuple[Patient, ...]:
    id = truncation.identifier(subject.id) if subject.type == "Patient" else None
    return (Patient(id=id),) if id else ()


def _resources(subject: Target) -> tuple[Resource, ...]:
    id = truncation.identifier(subject.id)
    if id is None:
        return ()
    type = truncation.identifier(subject.type) or "subject"
    return (Resource(type=type, id=id, version=truncation.name(subject.version)),)


def _correlation_id(attributes: dict[str, Any]) -> str | None:
    correlation_id = truncation.identifier(_string(attributes.get("correlationid")))
    trace = _TRACE_PARENT.fullmatch(_string(attributes.get("traceparent")) or "")
    return correlation_id or (trace[1] if trace else None)


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None
