"""Convert bytes to a valid `AuditEvent`, or raise an `InvalidEventError` that names the field and the fix."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import Any

import msgspec

from domain.catalogue import CATALOGUE
from domain.errors import InvalidEventError, Reason
from domain.event import SCHEMA_VERSION, AuditEvent
from domain.json_parsing import LARGE, MAX_DEPTH, check_shape, decoder_of, read_json
from domain.upcasting import upcast

__all__ = ["MAX_DEPTH", "check", "convert", "decode_event", "encode_event", "read_json"]

_decode = msgspec.json.Decoder(AuditEvent).decode
_decode_large = decoder_of(AuditEvent)
_encode = msgspec.json.Encoder().encode
_PATH = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_OBJECT_FIELD = re.compile(r"(?:required|unknown) field `(?P<name>[^`]*)`")
_STORE_FIELDS = {"position", "recorded_at", "stream", "stream_position"}


def decode_event(message: bytes) -> AuditEvent:
    """Decode and validate a native message (UTF-8 JSON, one object).

    Raises `InvalidEventError`; `field` is the path of the first fault.
    """
    if b"\\u0000" in message:
        return _decode_on_slow_path(message, None)
    if message.count(b"{") + message.count(b"[") > MAX_DEPTH:
        check_shape(message)
    try:
        event = _decode(message) if len(message) < LARGE else _decode_large(message)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as exc:
        return _decode_on_slow_path(message, exc)
    if event.schema_version != SCHEMA_VERSION:
        return _decode_on_slow_path(message, None)
    return check(event)


def encode_event(event: AuditEvent) -> bytes:
    """The native message of `event`: one line of JSON without spaces."""
    return _encode(event)


def check(event: AuditEvent) -> AuditEvent:
    """Return `event` if it satisfies what types can't express, such as the catalogue's required fields.

    Raises `InvalidEventError`.
    """
    if not 1900 <= event.occurred_at.year <= 9998:
        # Near the ends of the calendar a date can't be converted to another time zone. No real event has such a date.
        raise InvalidEventError(
            Reason.INVALID_FIELD, "send a time between 1900 and 9998", field="occurred_at"
        )
    entry = CATALOGUE.get(event.type)
    if entry is None:
        raise InvalidEventError(Reason.UNKNOWN_TYPE, _unknown_type(event.type), field="type")
    for path in entry.required:
        if not _PRESENT[path](event):
            raise InvalidEventError(Reason.MISSING_FIELD, f"{event.type} needs this field", field=path)
    return event


_PRESENT: dict[str, Callable[[AuditEvent], Any]] = {
    "resources": lambda event: event.resources,
    "patients": lambda event: event.patients,
    "disclosure": lambda event: event.disclosure,
    "actor.id": lambda event: event.actor.id,
    "session": lambda event: event.session,
    "reason": lambda event: event.reason,
    "device": lambda event: event.device,
    "request": lambda event: event.request,
}


def _decode_on_slow_path(message: bytes, cause: Exception | None) -> AuditEvent:
    """Decode an older schema version, or find the fault to report.

    It is separate so that the fast path decodes once, straight into the struct.
    """
    payload = read_json(message)
    if not isinstance(payload, dict):
        raise InvalidEventError(Reason.INVALID_FIELD, "an event is a JSON object") from cause
    claimed = sorted(_STORE_FIELDS & payload.keys())
    if claimed:
        raise InvalidEventError(
            Reason.UNKNOWN_FIELD, "the trail assigns this value; leave it out", field=claimed[0]
        ) from cause
    version = payload.get("schema_version", SCHEMA_VERSION)
    if type(version) is not int or version > SCHEMA_VERSION or version < 0:
        raise InvalidEventError(
            Reason.UNSUPPORTED_VERSION, f"send schema version {SCHEMA_VERSION}", field="schema_version"
        ) from cause
    return check(convert(upcast(payload, version)))


def convert(payload: dict[str, Any]) -> AuditEvent:
    """Convert a mapping in the current schema version to an `AuditEvent`, without the catalogue's checks."""
    try:
        return msgspec.convert(payload, AuditEvent)
    except msgspec.ValidationError as exc:
        raise _translated(exc) from exc


def _translated(exc: msgspec.ValidationError) -> InvalidEventError:
    text = str(exc)
    at = _PATH.search(text)
    path = at["path"] if at else ""
    message = text[: at.start()] if at else text
    inner = _OBJECT_FIELD.search(message)
    if inner:
        path = f"{path}.{inner['name']}" if path else inner["name"]
    if "missing required" in message:
        return InvalidEventError(Reason.MISSING_FIELD, "this field is required", field=path)
    if "unknown field" in message:
        return InvalidEventError(
            Reason.UNKNOWN_FIELD, "no such field; use `attributes` for what has no field", field=path
        )
    # msgspec quotes a wrong enum value, and a value may be patient data.
    return InvalidEventError(
        Reason.INVALID_FIELD,
        re.sub(r"Invalid enum value .*", "not one of the allowed values", message),
        field=path,
    )


def _unknown_type(name: str) -> str:
    near = difflib.get_close_matches(name, CATALOGUE, n=1)
    hint = f"; did you mean {near[0]}?" if near else "; see the catalogue of event types"
    return f"no such event type{hint}"
