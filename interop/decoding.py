"""Decode one received message: detect its format and call the reader of that format."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from domain.body import BodyFormat, Received, foreign_message
from domain.errors import InvalidEventError, Reason, RejectedError
from domain.json_parsing import read_json
from domain.validation import decode_event, decode_flawless
from interop import cloudevents
from interop.cloudevents import NATIVE_FIELDS
from interop.fhir import audit_event
from interop.foreign_formats import recognise, recognise_text
from interop.keycloak import is_keycloak, read_keycloak
from interop.systems import OWN, Systems

Headers = Sequence[tuple[str, bytes | None]]

MAX_HEADERS = 1000
"""Headers of one message. As a Python object each takes a hundred times its size."""


class _Peek(msgspec.Struct):
    """The top-level keys that identify a foreign format. The decoder skips everything else."""

    resource: Any = msgspec.field(default=msgspec.UNSET, name="resourceType")
    specversion: Any = msgspec.UNSET
    realm: Any = msgspec.field(default=msgspec.UNSET, name="realmId")


_NATIVE = BodyFormat.NATIVE  # looking up an enum member costs a call, and this runs for every event
_peek = msgspec.json.Decoder(_Peek).decode
_STRUCTURED = re.compile(r"application/cloudevents(?:\+json)?\s*(?:;.*)?", re.IGNORECASE | re.DOTALL)
_OTHER_FIELDS = {Reason.UNKNOWN_FIELD, Reason.MISSING_FIELD, Reason.INVALID_FIELD}
_UNREADABLE = {Reason.INVALID_JSON, Reason.INVALID_ENCODING}
_RESOURCE_TYPE = re.compile(r"[A-Za-z]{1,64}")


def decode(
    value: bytes | None,
    headers: Headers,
    *,
    max_bytes: int,
    received_at: datetime | None = None,
    systems: Systems = OWN,
) -> Received:
    """The event in a message, and the body to store.

    `value` and `headers` are those of a Kafka record. HTTP callers pass ``content-type`` and ``ce_*`` the same way. The
    format is, in this order:

    - a ``content-type`` of ``application/cloudevents`` (any case): CloudEvents, structured mode;
    - a ``ce_*`` header: CloudEvents, binary mode;
    - a JSON object with ``specversion``: CloudEvents, structured mode, because people publish files without headers;
    - a JSON object with ``resourceType``: FHIR, which must be an AuditEvent;
    - a JSON object of Keycloak's event listeners (``realmId`` with ``type`` or ``operationType``);
    - everything else: a native event. A short one without a fault is tried before the other JSON formats, which its
      fields rule out. This is the fast path: the message is parsed once, and searched for nothing.

    `received_at` (aware; default now) is the time of a foreign event that has none. `systems` says which namespaces of
    ids are the same.

    Raises only `RejectedError`, with the reason and the field for the dead letter.
    """
    if value is not None and len(value) > max_bytes:
        raise RejectedError(Reason.OVERSIZED, f"{len(value)} bytes are more than the {max_bytes} allowed")
    content_type = ""
    if headers:
        if len(headers) > MAX_HEADERS:
            many = f"{len(headers)} headers are more than the {MAX_HEADERS} allowed"
            raise RejectedError(Reason.OVERSIZED, many, field="headers")
        content_type, attributes = _read_headers(headers)
        structured = content_type.lower().startswith("application/cloudevents")
        if structured and value is not None:
            return _structured(value, headers, received_at, systems, content_type)
        if attributes and not structured:
            value = value or b""  # a CloudEvent needs no data, and then Kafka's value is null
            moment = received_at or datetime.now(UTC)
            event = cloudevents.from_binary(attributes, content_type, value, moment, systems)
            return foreign_message(event, BodyFormat.CLOUDEVENTS, _stored_headers(headers), value)
    if value is None:
        raise RejectedError(
            Reason.TOMBSTONE, "a null value means deletion, and an audit event can't be deleted"
        )
    native = decode_flawless(value)
    if native is not None:
        return Received(native, _NATIVE, value)
    # These words may also occur in a string of a native event, so a match only triggers the slower check.
    if b'"specversion"' in value or b'"resourceType"' in value:
        peek = _peek_keys(value)
        if peek.specversion is not msgspec.UNSET:
            return _structured(value, headers, received_at, systems)
        if peek.resource is not msgspec.UNSET and peek.realm is msgspec.UNSET:
            return _fhir(value, headers, peek.resource, received_at or datetime.now(UTC), systems)
    return _native(value, headers, content_type, received_at)


def _native(value: bytes, headers: Headers, content_type: str, received_at: datetime | None) -> Received:
    try:
        return Received(decode_event(value), BodyFormat.NATIVE, value)
    except InvalidEventError as exc:
        if exc.reason in _OTHER_FIELDS and b'"realmId"' in value:
            payload = read_json(value)
            if isinstance(payload, dict) and is_keycloak(payload):
                event = read_keycloak(payload, received_at or datetime.now(UTC))
                return foreign_message(event, BodyFormat.KEYCLOAK, _stored_headers(headers), value)
        recognised = _recognised(value, exc)
        if recognised:
            raise RejectedError(Reason.UNKNOWN_FORMAT, recognised) from exc
        # "Not JSON" would be true of XML, but would not help the sender.
        if exc.reason in _UNREADABLE and content_type and "json" not in content_type.lower():
            raise RejectedError(
                Reason.UNKNOWN_FORMAT, "unsupported content type; send JSON", field="content-type"
            ) from exc
        raise


def _recognised(value: bytes, fault: InvalidEventError) -> str:
    """What the message is, if it is of a known foreign format."""
    if fault.reason in _UNREADABLE:
        return recognise_text(value)
    if fault.reason in _OTHER_FIELDS:
        payload = read_json(value)
        if isinstance(payload, dict) and len(NATIVE_FIELDS & payload.keys()) < len(NATIVE_FIELDS) - 1:
            return recognise(payload)
    return ""


def _read_headers(headers: Headers) -> tuple[str, dict[str, bytes]]:
    """The content type, and the ``ce_*`` headers without their prefix. A repeated header is refused."""
    content_type, attributes = "", {}
    for name, content in headers:
        if content is None:
            continue
        prefix = name[:3].lower()
        if prefix == "ce_":
            if name[3:] in attributes:
                raise _repeated(name)
            attributes[name[3:]] = content
        elif prefix == "con" and name.lower() == "content-type":
            if content_type:
                raise _repeated("content-type")
            content_type = content.decode("utf-8", "replace").strip()
    return content_type, attributes


def _repeated(header: str) -> RejectedError:
    return InvalidEventError(
        Reason.INVALID_FIELD, "this header occurs twice; send it once", field=header[:64].lower()
    )


def _peek_keys(value: bytes) -> _Peek:
    try:
        return _peek(value)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return _Peek()  # not an object, or not JSON: the native reader reports the error


def _structured(
    value: bytes, headers: Headers, received_at: datetime | None, systems: Systems, content_type: str = ""
) -> Received:
    if content_type and not _STRUCTURED.fullmatch(content_type):
        raise RejectedError(
            Reason.UNKNOWN_FORMAT,
            "send one CloudEvent per message, as JSON; batches and other encodings are not supported",
            field="content-type",
        )
    event = cloudevents.from_structured(read_json(value), received_at or datetime.now(UTC), systems)
    return foreign_message(event, BodyFormat.CLOUDEVENTS, _stored_headers(headers), value)


def _fhir(
    value: bytes, headers: Headers, resource_type: Any, received_at: datetime, systems: Systems
) -> Received:
    if resource_type != audit_event.RESOURCE_TYPE:
        known = isinstance(resource_type, str) and _RESOURCE_TYPE.fullmatch(resource_type)
        what = f"a FHIR {resource_type}" if known else "a FHIR resource of another type"
        raise InvalidEventError(
            Reason.UNKNOWN_FORMAT,
            f"{what} is not an AuditEvent; send one AuditEvent per message",
            field="resourceType",
        )
    resource = read_json(value)
    event = audit_event.read_audit_event(resource, received_at, systems)
    return foreign_message(event, audit_event.release(resource), _stored_headers(headers), value)


def _stored_headers(headers: Headers) -> list[tuple[str, bytes]]:
    # Kafka allows a header without a value; the format of stored bodies does not.
    return [(name, content or b"") for name, content in headers]
