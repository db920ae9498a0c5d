"""The outline of a message without its values, for those who may not see data of patients.

A name that no format has may itself be data, so it is left out too. Three values are shown, because no patient's data
has their form: an event type of the catalogue, a UUID as the event's id, and the time of the event. The id of another
resource than an event, such as a FHIR Patient on the wrong topic, is not shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, get_args, get_type_hints
from uuid import UUID

import msgspec

from domain.catalogue import CATALOGUE
from domain.errors import InvalidEventError
from domain.event import AuditEvent
from domain.json_parsing import read_json

MAX_LINES = 200
MAX_BYTES = 1 << 20
"""Bytes of a message that is outlined."""
_MAX_DEPTH = 8
OTHER = "(another name)"
_SHOWN = frozenset({"type", "event_id", "occurred_at", "time", "recorded"})
"""The paths whose values may be shown in any message."""


def _names(kind: Any) -> Iterator[str]:
    """The field names of a struct and of those in it."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        for name, inner in get_type_hints(kind).items():
            yield name
            yield from _names(inner)
    for argument in get_args(kind):
        yield from _names(argument)


_OF_FORMATS = """
specversion id source type time subject data datacontenttype dataschema
resourceType meta text category code subtype action severity occurredPeriod occurredDateTime recorded outcome
outcomeDesc authorization patient encounter agent who requestor purposeOfUse network role entity what detail
reference identifier system value display coding period start end observer site name
"""
"""Names of CloudEvents 1.0, and of FHIR AuditEvent R4 and R5."""
_KNOWN = frozenset(_names(AuditEvent)) | frozenset(_OF_FORMATS.split())


def outline(value: bytes | None) -> list[str]:
    """One line for each value of a JSON message: its path and its kind. At most `MAX_LINES`."""
    if not value:
        return ["the message is empty"]
    if len(value) > MAX_BYTES:
        return ["the message is too large for an outline"]
    try:
        parsed = read_json(value)
    except InvalidEventError:
        return ["the message is not JSON"]
    lines: list[str] = []
    for line in _lines(parsed, "", 0, _shown_in(parsed)):
        if len(lines) == MAX_LINES:
            lines.append("and more")
            break
        lines.append(line)
    return lines


def _shown_in(message: Any) -> frozenset[str]:
    """The paths whose values may be shown. `id` is that of an event in CloudEvents and in a FHIR AuditEvent alone."""
    is_event = isinstance(message, dict) and (
        "specversion" in message or message.get("resourceType") == "AuditEvent"
    )
    return _SHOWN | {"id"} if is_event else _SHOWN


def _lines(value: Any, path: str, depth: int, shown: frozenset[str]) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        yield f"{path}: more levels"
    elif isinstance(value, dict) and value:
        for name, inner in value.items():
            known = name if name in _KNOWN else OTHER
            yield from _lines(inner, f"{path}.{known}" if path else known, depth + 1, shown)
    elif isinstance(value, list) and value:
        for at, inner in enumerate(value):
            yield from _lines(inner, f"{path}[{at}]", depth + 1, shown)
    else:
        yield f"{path or 'the message'}: {_kind(value, path if path in shown else '')}"


def _kind(value: Any, path: str) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return value if _is_shown(value, path) else f"text of {len(value)} characters"
        case _:
            return "empty"


def _is_shown(value: str, path: str) -> bool:
    try:
        match path:
            case "type":
                return value in CATALOGUE
            case "event_id" | "id":
                return str(UUID(value)) == value.lower()
            case "occurred_at" | "time" | "recorded":
                return len(value) <= 40 and datetime.fromisoformat(value) is not None
    except ValueError:
        return False
    return False
