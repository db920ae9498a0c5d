"""The parts of a CloudEvent 1.0 in structured and binary mode, read without checks.

`interop.cloudevents_envelope` checks a CloudEvent that arrives; a stored one has passed these checks.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from domain.json_parsing import read_json_or_bytes

_PREFIX = "ce_"
_TRACE_CONTEXT = frozenset({"traceparent", "tracestate"})
"""The distributed tracing extension, which says how a message was delivered."""


class EnvelopeParts(NamedTuple):
    """A CloudEvent in structured mode: the attributes that are not null, `data`, and `data_base64`."""

    attributes: dict[str, Any]
    data: Any
    encoded: Any


def split_envelope(envelope: Mapping[str, Any]) -> EnvelopeParts:
    """The parts of the JSON event format."""
    attributes = {name: value for name, value in envelope.items() if value is not None}
    return EnvelopeParts(attributes, attributes.pop("data", None), attributes.pop("data_base64", None))


def binary_attributes(headers: Sequence[tuple[str, bytes]]) -> dict[str, bytes]:
    """The attributes of binary mode, without their prefix; empty in structured mode."""
    return {
        name[len(_PREFIX) :].lower(): value
        for name, value in headers
        if name[: len(_PREFIX)].lower() == _PREFIX
    }


def read_cloudevent(headers: Sequence[tuple[str, bytes]], message: bytes) -> tuple[dict[str, str], object]:
    """Attributes as text, and data, of a stored CloudEvent in either mode; without its trace context.

    The data is a JSON value if it is JSON, whichever way it is given, and bytes if not.
    """
    attributes: dict[str, Any] = {
        name: value.decode("utf-8", "replace") for name, value in binary_attributes(headers).items()
    }
    if attributes:
        types = [value for name, value in headers if name.lower() == "content-type"]
        if types:
            attributes["datacontenttype"] = types[0].decode("utf-8", "replace").strip()
        data = read_json_or_bytes(message) if message else None
    else:
        envelope = read_json_or_bytes(message)
        assert isinstance(envelope, dict)
        attributes, data, encoded = split_envelope(envelope)
        if encoded is not None:
            data = read_json_or_bytes(base64.b64decode(encoded))
        elif isinstance(data, str):
            data = read_json_or_bytes(data.encode("utf-8", "replace"))
    return (
        {name: _text(value) for name, value in attributes.items() if name not in _TRACE_CONTEXT},
        data,
    )


def _text(value: object) -> str:
    """An attribute as a header spells it (CloudEvents, "Type System")."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
