"""The CloudEvents 1.0 envelope: validated attributes and uninterpreted data.

Sources: CloudEvents 1.0.2 sections "Context Attributes" and "Type System", the JSON event format, and the Kafka
protocol binding (structured and binary mode).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from domain.cloudevents import split_envelope
from domain.errors import InvalidEventError, Reason
from domain.event_time import parse_time
from domain.json_parsing import read_json
from interop import truncation

SPECVERSION = "1.0"

_TOKEN = r"[A-Za-z0-9!#$&^_.+\-]+"  # noqa: S105 - a token of RFC 6838, not a secret
_MEDIA_TYPE = re.compile(rf"{_TOKEN}/{_TOKEN}\s*(?:;.*)?", re.DOTALL)
_ATTRIBUTE = re.compile(r"[a-z0-9]+")
_REQUIRED = ("specversion", "id", "source", "type")
_TEXTS = (*_REQUIRED, "time", "datacontenttype", "dataschema", "subject")
MAX_ATTRIBUTES = 1000
"""Attributes of one CloudEvent, including extensions. Each is validated separately and stored with the event."""
_INT32 = range(-(2**31), 2**31)


class Envelope(msgspec.Struct, frozen=True):
    """One CloudEvent.

    `attributes` includes extensions and excludes `specversion`. `data` is a JSON value or bytes.
    """

    id: str
    source: str
    type: str
    time: datetime | None
    attributes: dict[str, Any]
    data: Any

    def json_data(self) -> Any:
        """The data if it is a JSON object or array, or text or bytes that contain one; otherwise None."""
        value = self.data
        if isinstance(value, str):
            value = value.encode("utf-8", "replace")
        if isinstance(value, bytes) and value.lstrip()[:1] in {b"{", b"["}:
            try:
                value = read_json(value)
            except InvalidEventError:
                # A CloudEvent may carry any data; only data declared as JSON must be JSON.
                if "json" in str(self.attributes.get("datacontenttype", "")).lower():
                    raise
        return value if isinstance(value, dict | list) else None


def read_structured(payload: Any) -> Envelope:
    """Read the JSON event format. Raises an `InvalidEventError` that names the attribute."""
    if not isinstance(payload, dict):
        raise InvalidEventError(Reason.INVALID_FIELD, "a CloudEvent is a JSON object")
    given, data, encoded = split_envelope(payload)
    if encoded is None:
        return _envelope(given, data)
    if data is not None:
        raise InvalidEventError(
            Reason.INVALID_FIELD, "give data or data_base64, not both", field="data_base64"
        )
    try:
        return _envelope(given, base64.b64decode(encoded, validate=True))
    except (binascii.Error, TypeError, ValueError) as exc:
        raise InvalidEventError(Reason.INVALID_FIELD, "not Base64", field="data_base64") from exc


def read_binary(headers: dict[str, bytes], content_type: str, value: bytes) -> Envelope:
    """Read binary mode: attributes from `headers` (without ``ce_``), the data's media type from `content_type`."""
    _check_number(headers)
    given: dict[str, Any] = {}
    for name, raw in headers.items():
        try:
            given[name] = raw.decode("utf-8")
        except UnicodeDecodeError as exc:
            raise InvalidEventError(
                Reason.INVALID_ENCODING, f"send UTF-8; byte {exc.start} is not", field=f"ce_{name}"
            ) from exc
        if "\0" in given[name]:
            raise InvalidEventError(
                Reason.INVALID_FIELD, "U+0000 can't be stored; leave it out", field=f"ce_{name}"
            )
    if "data" in given:
        raise InvalidEventError(Reason.INVALID_FIELD, "an attribute can't have this name", field="ce_data")
    if content_type:
        given["datacontenttype"] = content_type
    return _envelope(given, value)


def _envelope(given: dict[str, Any], data: Any) -> Envelope:
    for name in _REQUIRED:
        if name not in given:
            raise InvalidEventError(Reason.MISSING_FIELD, "a CloudEvent needs this attribute", field=name)
    _check_number(given)
    for name, value in given.items():
        _check(name, value)
    if given["specversion"] != SPECVERSION:
        raise InvalidEventError(
            Reason.UNSUPPORTED_VERSION, f"send CloudEvents {SPECVERSION}", field="specversion"
        )
    attributes = {name: value for name, value in given.items() if name != "specversion"}
    time = truncation.timestamp(given["time"]) if "time" in given else None
    return Envelope(given["id"], given["source"], given["type"], time, attributes, data)


def _check_number(attributes: Mapping[str, Any]) -> None:
    if len(attributes) > MAX_ATTRIBUTES:
        raise InvalidEventError(
            Reason.OVERSIZED,
            f"a CloudEvent has at most {MAX_ATTRIBUTES} attributes; put the rest into its data",
        )


def _check(name: str, value: Any) -> None:
    if not _ATTRIBUTE.fullmatch(name):
        raise InvalidEventError(
            Reason.INVALID_FIELD, "attribute names are lower-case letters and digits", field=name[:64]
        )
    if name in _TEXTS:
        fault = _text_fault(name, value)
    elif isinstance(value, bool | str):
        fault = None
    else:
        # JSON has one number type: 1.0 is an integer too. `in range` with a float would iterate, hence `int`.
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        whole = whole and int(value) in _INT32
        fault = None if whole else "an extension is a string, a boolean or an integer of 32 bits"
    if fault:
        raise InvalidEventError(Reason.INVALID_FIELD, fault, field=name)


def _text_fault(name: str, value: Any) -> str | None:
    if not isinstance(value, str) or not value:
        return "this attribute is a non-empty string"
    if name == "time" and parse_time(value) is None:
        return "a time is RFC 3339 with an offset"
    if name == "datacontenttype" and not _MEDIA_TYPE.fullmatch(value):
        return "not a media type (RFC 2046)"
    return None
