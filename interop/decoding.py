"""One received message to an event: find out what format it is in, and hand it to that format's reader."""

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
"""Of one message. Each costs a hundred times its size once it is a Python object."""


class _Peek(msgspec.Struct):
    """The two top-level keys that tell a foreign format; everything else is skipped."""

    resource: Any = msgspec.field(default=msgspec.UNSET, name="resourceType")
    specversion: Any = msgspec.UNSET


_peek = msgspec.json.Decoder(_Peek).decode
_STRUCTURED = re.compile(r"application/cloudevents(?:\+json)?\s*(?:;.*)?", re.IGNORECASE | re.DOTALL)
_UNREADABLE = {Reason.INVALID_JSON, Reason.INVALID_ENCODING}
_RESOURCE_TYPE = re.compile(r"[A-Za-z]{1,64}")


def decode(
    value: bytes | None, headers: Headers, *, max_bytes: int, received_at: datetime | None = None
) -> Received:
    """The event that a message carries, and the body to store.

    `value` and `headers` are those of a Kafka record; HTTP callers give ``content-type`` and ``ce_*`` the same way.
    In this order:

    - a ``content-type`` of ``application/cloudevents`` (any case): CloudEvents, structured mode;
    - a ``ce_*`` header: CloudEvents, binary mode;
    - a JSON object with ``specversion``: CloudEvents, structured mode, since people publish files without headers;
    - a JSON object with ``resourceType``: FHIR, which must be an AuditEvent;
    - everything else: a native event. That is the fast path: it is parsed once.

    `received_at` (aware; now when absent) stands in where a foreign event says no time of its own.

    Raises `RejectedError`, and nothing else, with the reason and the field of the dead letter.
    """
    if value is None:
        raise RejectedError(Reason.TOMBSTONE, "a null value deletes, and an audit event can't be deleted")
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
            return foreign_message(event, BodyFormat.CLOUDEVENTS, _kept(headers), value)
    # The words may stand anywhere, in a string of a native event too, so a hit only means a closer look.
    if b'"specversion"' in value or b'"resourceType"' in value:
        peek = _look(value)
        if peek.specversion is not msgspec.UNSET:
            return _structured(value, headers, received_at)
        if peek.resource is not msgspec.UNSET:
            return _fhir(value, headers, peek.resource, received_at or datetime.now(UTC))
    try:
        return Received(decode_event(value), BodyFormat.NATIVE, value)
    except InvalidEventError as exc:
        # "Not JSON" would be true of XML, and of no use to who sent it.
        if exc.reason in _UNREADABLE and content_type and "json" not in content_type.lower():
            raise RejectedError(
                Reason.UNKNOWN_FORMAT, "this content type is not read; send JSON", field="content-type"
            ) from exc
        raise


def _read_headers(headers: Headers) -> tuple[str, dict[str, bytes]]:
    """The content type, and the ``ce_*`` headers without their prefix; of a repeated header the last one counts."""
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


def _look(value: bytes) -> _Peek:
    try:
        return _peek(value)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return _Peek()  # no object, or no JSON: the native reader says what is wrong


def _structured(
    value: bytes, headers: Headers, received_at: datetime | None, content_type: str = ""
) -> Received:
    if content_type and not _STRUCTURED.fullmatch(content_type):
        raise RejectedError(
            Reason.UNKNOWN_FORMAT,
            "CloudEvents are read one by one and as JSON; no batch and no other encoding",
            field="content-type",
        )
    event = cloudevents.from_structured(read_json(value), received_at or datetime.now(UTC))
    return foreign_message(event, BodyFormat.CLOUDEVENTS, _kept(headers), value)


def _fhir(value: bytes, headers: Headers, resource_type: Any, received_at: datetime) -> Received:
    if resource_type != audit_event.RESOURCE_TYPE:
        known = isinstance(resource_type, str) and _RESOURCE_TYPE.fullmatch(resource_type)
        what = f"a FHIR {resource_type}" if known else "a FHIR resource of another type"
        raise InvalidEventError(
            Reason.UNKNOWN_FORMAT,
            f"{what} is no AuditEvent; send AuditEvents, one by one",
            field="resourceType",
        )
    resource = read_json(value)
    event = audit_event.read_audit_event(resource, received_at)
    return foreign_message(event, audit_event.release(resource), _kept(headers), value)


def _kept(headers: Headers) -> list[tuple[str, bytes]]:
    # Kafka allows a header without a value; a stored body does not.
    return [(name, content or b"") for name, content in headers]
