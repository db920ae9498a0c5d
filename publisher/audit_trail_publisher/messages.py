"""An event as a message: validated as the trail will, encoded once, with its key."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct

from audit_trail_publisher.errors import InvalidEventError, Reason
from audit_trail_publisher.generated.event import AuditEvent
from audit_trail_publisher.generated.rules import MAX_CONTAINERS, MAX_DEPTH, check

MAX_EVENT_BYTES = 1 << 20
"""The trail's default limit of one event. One that sets a lower limit rejects the event, which is kept then."""
_ROOM = 64
"""Bytes for the sequence number, which the spool adds."""
_SOURCE = b'"source":{'
_PATH = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_FIELD = re.compile(r"(?:required|unknown) field `(?P<name>[^`]*)`")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(AuditEvent).decode


class Message(Struct, frozen=True):
    """An event on its way. Messages with the same `key` are sent in order."""

    event_id: UUID
    type: str
    key: str
    body: bytes
    """One line of JSON."""
    instance: tuple[str, str] | None = None
    """The service and its instance, if the event is to get the next number of that instance."""


def message_of(event: AuditEvent, *, numbered: bool = False) -> Message:
    """The message of `event`. Raises `InvalidEventError` for what the trail would reject.

    `numbered`: the event gets the next number of its instance. Not for an event that its caller may repeat: its second
    number would make it another event with the same id.
    """
    try:
        body = _encode(event)
    except (TypeError, ValueError, OverflowError, RecursionError) as exc:
        raise InvalidEventError(
            Reason.INVALID_JSON, f"a value can't be written as JSON: {_safe(exc)}"
        ) from None
    _check_shape(body)
    try:
        checked = check(_decode(body))
    except msgspec.ValidationError as exc:
        raise _translated(exc) from None  # the original can quote a value
    source = checked.source
    instance = (source.service, source.instance) if numbered and source.instance else None
    return Message(checked.event_id, checked.type, key_of(checked), body, instance)


def with_sequence(body: bytes, sequence: int) -> bytes:
    """The body with `source.sequence`, which is known only when the event is kept.

    Nothing before the source can contain these bytes: a quote within a string is escaped.
    """
    return body.replace(_SOURCE, b'%s"sequence":%d,' % (_SOURCE, sequence), 1)


def key_of(event: AuditEvent) -> str:
    """The key, within which order is kept, as `POST` has it: the first patient, else the actor, else the service."""
    if event.patients:
        return event.patients[0].id
    return event.actor.id or event.source.service


def _check_shape(body: bytes) -> None:
    if len(body) > MAX_EVENT_BYTES - _ROOM:
        raise InvalidEventError(
            Reason.OVERSIZED,
            f"{len(body)} bytes are more than the {MAX_EVENT_BYTES} allowed; record several events",
        )
    if b"\\u0000" in body and b"\\u0000" in body.replace(b"\\\\", b""):
        raise InvalidEventError(Reason.INVALID_FIELD, "U+0000 can't be stored; leave it out")
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH:
        depth, containers = _extent(msgspec.json.decode(body))
        if depth > MAX_DEPTH:
            raise InvalidEventError(Reason.TOO_DEEP, f"nested deeper than {MAX_DEPTH} levels")
        if containers > MAX_CONTAINERS:
            raise InvalidEventError(
                Reason.OVERSIZED, f"more than {MAX_CONTAINERS} arrays and objects; record several events"
            )


def _extent(value: Any) -> tuple[int, int]:
    """The nesting levels of `value`, and how many arrays and objects it has."""
    level, depth, containers = [value], 0, 0
    while level := [each for each in level if isinstance(each, dict | list)]:
        depth += 1
        containers += len(level)
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]
    return depth, containers


def _translated(exc: msgspec.ValidationError) -> InvalidEventError:
    text = str(exc)
    at = _PATH.search(text)
    path = at["path"] if at else ""
    message = text[: at.start()] if at else text
    if inner := _FIELD.search(message):
        path = f"{path}.{inner['name']}" if path else inner["name"]
    # msgspec quotes a wrong enum value, and a value may be patient data.
    message = re.sub(r"Invalid enum value .*", "not one of the allowed values", message)
    return InvalidEventError(Reason.INVALID_FIELD, message, field=path)


def _safe(exc: Exception) -> str:
    """What msgspec says of a type; other errors can quote a value."""
    return str(exc) if isinstance(exc, TypeError) else type(exc).__name__
