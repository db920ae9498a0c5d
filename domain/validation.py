"""Convert bytes to a valid `AuditEvent`, or raise an `InvalidEventError` that names the field and the fix."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import Any

import msgspec

from domain.catalogue import CATALOGUE
from domain.errors import InvalidEventError, Reason
from domain.event import MAX_IDENTIFIER, SCHEMA_VERSION, ActorKind, AuditEvent
from domain.event_time import is_usable, may_be_rounded, parse_time
from domain.json_parsing import LARGE, MAX_DEPTH, check_shape, decoder_of, read_json
from domain.upcasting import upcast

__all__ = ["MAX_DEPTH", "check", "convert", "decode_event", "encode_event", "read_json"]

_decode = msgspec.json.Decoder(AuditEvent).decode
_decode_large = decoder_of(AuditEvent)
_encode = msgspec.json.Encoder().encode
_PATH = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_OBJECT_FIELD = re.compile(r"(?:required|unknown) field `(?P<name>[^`]*)`")
_PATIENT_REFERENCE = re.compile(r"(?:^|/)Patient/", re.IGNORECASE)
_STORE_FIELDS = {"position", "recorded_at", "stream", "stream_position"}


def decode_flawless(message: bytes) -> AuditEvent | None:
    """The event in a short native message without a fault; None for any other message.

    It decides nothing else: `decode_event` reads the other messages, or finds their fault. A CloudEvent and a FHIR
    resource give None, because they have top-level fields that no native event has.
    """
    if len(message) >= LARGE or _has_escaped_null(message) or _has_many_brackets(message):
        return None
    try:
        event = _decode(message)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    if event.schema_version != SCHEMA_VERSION or event.type not in CATALOGUE or may_be_rounded(message):
        return None
    try:
        return check(event)
    except InvalidEventError:
        return None


def decode_event(message: bytes) -> AuditEvent:
    """Decode and validate a native message (UTF-8 JSON, one object).

    Raises `InvalidEventError`; `field` is the path of the first fault.
    """
    if _has_escaped_null(message):
        return _decode_on_slow_path(message, None)
    if _has_many_brackets(message):
        check_shape(message)
    try:
        event = _decode(message) if len(message) < LARGE else _decode_large(message)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as exc:
        return _decode_on_slow_path(message, exc)
    if event.schema_version != SCHEMA_VERSION or may_be_rounded(message):
        return _decode_on_slow_path(message, None)
    return check(event)


def _has_escaped_null(message: bytes) -> bool:
    # A search for one byte takes a tenth of the time, and most messages have no backslash.
    return b"\\" in message and b"\\u0000" in message


def _has_many_brackets(message: bytes) -> bool:
    """Whether the message may be nested too deep, or have too many arrays and objects."""
    return message.count(b"{") + message.count(b"[") > MAX_DEPTH


def encode_event(event: AuditEvent) -> bytes:
    """The native message of `event`: one line of JSON without spaces."""
    return _encode(event)


def check(event: AuditEvent) -> AuditEvent:
    """Return `event` if it satisfies what types can't express, such as the catalogue's required fields.

    Raises `InvalidEventError`.
    """
    if not is_usable(event.occurred_at):
        raise InvalidEventError(
            Reason.INVALID_FIELD,
            "send the time of the event, from 1970-01-02 to the end of 2199; an unset date is no time",
            field="occurred_at",
        )
    if not _ids_stand_alone(event):
        _check_ids(event)
    entry = CATALOGUE.get(event.type)
    if entry is None:
        raise InvalidEventError(Reason.UNKNOWN_TYPE, _unknown_type(event.type), field="type")
    for path in entry.required:
        if not _PRESENT[path](event):
            raise InvalidEventError(Reason.MISSING_FIELD, f"{event.type} needs this field", field=path)
    return event


def _ids_stand_alone(event: AuditEvent) -> bool:
    """Whether `_check_ids` has nothing to say. It runs for every event, so it names no field."""
    for patient in event.patients:
        id = patient.id
        if "/" in id or id.strip() != id:
            return False
    actor = event.actor.id
    if actor is not None and ("/" in actor or actor.strip() != actor):
        return False
    for resource in event.resources:
        id = resource.id
        if id.strip() != id:
            return False
    return event.device is None and event.source.sequence is None


def _check_ids(event: AuditEvent) -> None:
    """Raise unless each id stands alone: without white space around it, and a patient's without a resource type."""
    for index, patient in enumerate(event.patients):
        _check_patient_id(patient.id, f"patients[{index}].id")
    actor = event.actor
    if actor.id is not None:
        if actor.kind is ActorKind.PATIENT:
            _check_patient_id(actor.id, "actor.id")
        else:
            _check_id(actor.id, "actor.id")
    if event.device is not None:
        _check_id(event.device.id, "device.id")
    for index, resource in enumerate(event.resources):
        _check_id(resource.id, f"resources[{index}].id")
    if event.source.sequence is not None:
        _check_instance(event.source.instance)


def _check_patient_id(id: str, field: str) -> None:
    _check_id(id, field)
    if "/" in id and _PATIENT_REFERENCE.search(id):
        raise InvalidEventError(
            Reason.INVALID_FIELD, "send the id without its type: 17, not Patient/17", field=field
        )


def _check_instance(instance: str | None) -> None:
    """Raise unless a numbered event names the instance that counts: it is in the key of a read model."""
    if instance is None:
        raise InvalidEventError(
            Reason.MISSING_FIELD, "a numbered event names the instance that counts", field="source.instance"
        )
    if not 1 <= len(instance) <= MAX_IDENTIFIER:
        raise InvalidEventError(
            Reason.INVALID_FIELD,
            f"the instance of a numbered event has 1 to {MAX_IDENTIFIER} characters",
            field="source.instance",
        )
    _check_id(instance, "source.instance")


def _check_id(id: str, field: str) -> None:
    if id[0].isspace() or id[-1].isspace():
        raise InvalidEventError(Reason.INVALID_FIELD, "leave out the white space around the id", field=field)


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
    occurred_at = payload.get("occurred_at")
    if isinstance(occurred_at, str):
        # The decoder would round, and refuse a leap second.
        payload = {**payload, "occurred_at": parse_time(occurred_at) or occurred_at}
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
