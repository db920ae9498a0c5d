"""The stored body: the received message, byte for byte, and the event that it contains.

A native message is itself the event. The body of any other format has three parts, so nothing is stored twice and the
evidence stays complete::

    the normalised event, one line of JSON  LF  the message's headers, one line of JSON  LF  the message, as received

`BodyFormat` says how to read a body. A sealed (encrypted) body will be a further format; its hash covers the stored
bytes.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from enum import IntEnum

import msgspec

from domain.cloudevents import read_cloudevent
from domain.errors import InvalidEventError
from domain.event import SCHEMA_VERSION, AuditEvent
from domain.event_time import may_be_rounded
from domain.json_parsing import LARGE, decoder_of, read_json, read_json_or_bytes
from domain.upcasting import upcast
from domain.validation import convert, encode_event

Headers = Sequence[tuple[str, bytes]]


class BodyFormat(IntEnum):
    """How to read a stored body. The numbers are stored and hashed; never renumber one."""

    NATIVE = 1
    CLOUDEVENTS = 2
    FHIR_R4 = 3
    FHIR_R5 = 4
    KEYCLOAK = 5
    AGGREGATE = 100


class Received(msgspec.Struct, frozen=True):
    """One decoded message: the event and the body to store."""

    event: AuditEvent
    format: BodyFormat
    body: bytes


class ReceivedMessage(msgspec.Struct, frozen=True):
    """A message as it was received, byte for byte. `headers` are stored only for formats that use them."""

    format: BodyFormat
    headers: list[tuple[str, bytes]]
    message: bytes


_NATIVE = int(BodyFormat.NATIVE)  # looking up an enum member costs a call, and this runs for every event
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(AuditEvent).decode
_decode_large = decoder_of(AuditEvent)


def foreign_message(event: AuditEvent, format: BodyFormat, headers: Headers, message: bytes) -> Received:
    """A message of a foreign format: the body is the normalised event, the headers and the message."""
    lines = _encode([(name, base64.b64encode(value).decode()) for name, value in headers])
    return Received(event, format, b"\n".join((encode_event(event), lines, message)))


def read_event(format: int, body: bytes) -> AuditEvent:
    """The event in a stored body, upcast to the current schema version."""
    line = body if format == _NATIVE else body[: body.index(b"\n")]
    try:
        event = _decode(line) if len(line) < LARGE else _decode_large(line)
    except msgspec.ValidationError:
        event = None
    if event is not None and event.schema_version == SCHEMA_VERSION and not may_be_rounded(line):
        return event
    payload = read_json(line)
    return convert(upcast(payload, payload.get("schema_version", SCHEMA_VERSION)))


def is_same_content(one: tuple[int, bytes], other: tuple[int, bytes]) -> bool:
    """Whether two stored bodies (format, body) are two deliveries of one message.

    A native message is its event. Of a foreign message the whole content counts, and not only what the event says of
    it: otherwise a message could hide another one with the same id. A sender that tries again may use another trace
    context, white space and order of keys.
    """
    return one == other or _content(*one) == _content(*other)


def _content(format: int, body: bytes) -> object:
    if format == _NATIVE:
        return read_event(format, body)
    headers, message = read_message(format, body)
    if format != BodyFormat.CLOUDEVENTS:
        return _canonical(read_json_or_bytes(message))
    attributes, data = read_cloudevent(headers, message)
    if isinstance(data, dict):
        if "resourceType" in data or "realmId" in data:
            return _canonical(data)
        try:
            event = convert(upcast(data, data.get("schema_version", SCHEMA_VERSION)))
        except (InvalidEventError, TypeError):
            event = None
        if event is not None and event == read_event(format, body):
            return event
    return _canonical([attributes, data])


def _canonical(value: object) -> bytes:
    """JSON with sorted keys: Python takes ``true``, 1 and 1.0 for equal."""
    return msgspec.json.encode(value, order="deterministic")


def read_message(format: int, body: bytes) -> tuple[list[tuple[str, bytes]], bytes]:
    """The received message in a stored body: headers and bytes.

    Headers are stored only for formats that use them; a native body has none.
    """
    if format == BodyFormat.NATIVE:
        return [], body
    _, headers, message = body.split(b"\n", 2)
    return [(name, base64.b64decode(value)) for name, value in msgspec.json.decode(headers)], message
