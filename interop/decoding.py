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
from domain.validation import decode_event
from interop import cloudevents
from interop.fhir import audit_event

Headers = Sequence[tuple[str, bytes | None]]

MAX_HEADERS = 1000
"""Headers of one message. As a Python object each takes a hundred times its size."""


class _Peek(msgspec.Struct):
    """The two top-level keys that identify a foreign format. The decoder skips everything else."""

    resource: Any = msgspec.field(default=msgspec.UNSET, name="resourceType")
    specversion: Any = msgspec.UNSET


_peek = msgspec.json.Decoder(_Peek).decode
_STRUCTURED = re.compile(r"application/cloudevents(?:\+json)?\s*(?:;.*)?", re.IGNORECASE | re.DOTALL)
_UNREADABLE = {Reason.INVALID_JSON, Reason.INVALID_ENCODING}
_RESOURCE_TYPE = re.compile(r"[A-Za-z]{1,64}")


def decode(
    value: bytes | None, headers: Headers, *, max_bytes: int, received_at: datetime | None = None
) -> Received:
    """The event in a message, and the body to store.

    `value` and `headers` are those of a Kafka record. HTTP callers pass ``content-type`` and ``ce_*`` the same way. The
    format is, in this order:

    - a ``content-type`` of ``application/cloudevents`` (any case): CloudEvents, structured mode;
    - a ``ce_*`` header: CloudEvents, binary mode;
    - a JSON object with ``specversion``: CloudEvents, structured mode, because people publish files without headers;
    - a JSON object with ``resourceType``: FHIR, which must be an AuditEvent;
    - everything else: a native event. This is the fast path: the message is parsed once.

    `received_at` (aware; default now) is the time of a foreign event that has none.

    Raises only `RejectedError`, with the reason and the field for the dead letter.
    """
    if value is None:
        raise RejectedError(
            Reason.TOMBSTONE, "a null value means deletion, and an audit event can't be deleted"
        )
    if len(value) > max_bytes:
        raise RejectedError(Reason.OVERSIZED, f"{len(value)} bytes are more than the {max_bytes} allowed")
    content_type = ""
    if headers:
        if len(headers) > MAX_HEADERS:
            many = f"{len(headers)} headers are more than the {MAX_HEADERS} allowed"
            raise RejectedError(Reason.OVERSIZED, many, field="headers")
        content_type, attributes = _read_headers(headers)
        if content_type.lower().startswith("application/cloudevents"):
            return _structured(value, headers, received_at, content_type)
        if attributes:
            event = cloudevents.from_binary(attributes, content_type, value, received_at or datetime.now(UTC))
            return foreign_message(event, BodyFormat.CLOUDEVENTS, _stored_headers(headers), value)
    # These words may also occur in a string of a native event, so a match only triggers the slower check.
    if b'"specversion"' in value or b'"resourceType"' in value:
        peek = _peek_keys(value)
        if peek.specversion is not msgspec.UNSET:
            return _structured(value, headers, received_at)
        if peek.resource is not msgspec.UNSET:
            return _fhir(value, headers, peek.resource, received_at or datetime.now(UTC))
    try:
        return Received(decode_event(value), BodyFormat.NATIVE, value)
    except InvalidEventError as exc:
        # "Not JSON" would be true of XML, but would not help the sender.
        if exc.reason in _UNREADABLE and content_type and "json" not in content_type.lower():
            raise RejectedError(
                Reason.UNKNOWN_FORMAT, "unsupported content type; send JSON", field="content-type"
            ) from exc
        raise


def _read_headers(headers: Headers) -> tuple[str, dict[str, bytes]]:
    """The content type, and the ``ce_*`` headers without their prefix. The last of repeated headers counts."""
    content_type, attributes = "", {}
    for name, content in headers:
        if content is None:
            continue
        prefix = name[:3].lower()
        if prefix == "ce_":
            attributes[name[3:]] = content
        elif prefix == "con" and name.lower() == "content-type":
            content_type = content.decode("utf-8", "replace").strip()
    return content_type, attributes


def _peek_keys(value: bytes) -> _Peek:
    try:
        return _peek(value)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return _Peek()  # not an object, or not JSON: the native reader reports the error


def _structured(
    value: bytes, headers: Headers, received_at: datetime | None, content_type: str = ""
) -> Received:
    if content_type and not _STRUCTURED.fullmatch(content_type):
        raise RejectedError(
            Reason.UNKNOWN_FORMAT,
            "send one CloudEvent per message, as JSON; batches and other encodings are not supported",
            field="content-type",
        )
    event = cloudevents.from_structured(read_json(value), received_at or datetime.now(UTC))
    return foreign_message(event, BodyFormat.CLOUDEVENTS, _stored_headers(headers), value)


def _fhir(value: bytes, headers: Headers, resource_type: Any, received_at: datetime) -> Received:
    if resource_type != audit_event.RESOURCE_TYPE:
        known = isinstance(resource_type, str) and _RESOURCE_TYPE.fullmatch(resource_type)
        what = f"a FHIR {resource_type}" if known else "a FHIR resource of another type"
        raise InvalidEventError(
            Reason.UNKNOWN_FORMAT,
            f"{what} is not an AuditEvent; send one AuditEvent per message",
            field="resourceType",
        )
    resource = read_json(value)
    event = audit_event.read_audit_event(resource, received_at)
    return foreign_message(event, audit_event.release(resource), _stored_headers(headers), value)


def _stored_headers(headers: Headers) -> list[tuple[str, bytes]]:
    # Kafka allows a header without a value; the format of stored bodies does not.
    return [(name, content or b"") for name, content in headers]
