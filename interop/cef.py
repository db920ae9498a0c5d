"""CEF, ArcSight's Common Event Format, version 0 (CEF Implementation Standard, OpenText, version 27).

One line of text. Keys and their lengths are those of the standard's extension dictionary for producers. What has no key
there gets one of the form that the standard asks of a vendor, ``AuditTrailPurposeOfUse``. Values before and after a
change are not sent, only the paths of the fields that changed.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from domain.catalogue import CATALOGUE, GENERIC_TYPE
from domain.event import SCHEMA_VERSION, Action, AuditEvent, Client, RecordedEvent
from domain.event_time import to_milliseconds
from interop.clipping import Clipper
from interop.leaf import LeafFacts
from interop.severity import severity_of

_VENDOR, _PRODUCT = "Audit Trail", "Audit Trail"
_ACTIONS = {
    Action.CREATE: "create",
    Action.READ: "read",
    Action.UPDATE: "update",
    Action.DELETE: "delete",
    Action.EXECUTE: "execute",
}
_CONTROL = re.compile(r"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Control characters, what some readers take for the end of a line, and what turns the order of the text after it.

Line feed and carriage return are escaped."""
_HEADER_ESCAPES = str.maketrans({"\\": "\\\\", "|": "\\|", "\n": " ", "\r": " "})
_EXTENSION_ESCAPES = str.maketrans({"\\": "\\\\", "=": "\\=", "\n": "\\n", "\r": "\\r"})


class Field(NamedTuple):
    """One extension: its key, its value and the most characters that the dictionary allows it, before escaping."""

    key: str
    value: str | list[str] | None
    length: int = 1023


def message(recorded: RecordedEvent, leaf: LeafFacts) -> str:
    """The event as one line, without a syslog header.

    A value that is too long ends with an ellipsis, and ``AuditTrailTruncated`` lists its key.
    """
    event = recorded.event
    row = CATALOGUE.get(event.type, CATALOGUE[GENERIC_TYPE])
    head = (
        _VENDOR,
        _PRODUCT,
        str(SCHEMA_VERSION),
        event.type,
        row.description.rstrip("."),
        str(severity_of(event).cef),
    )
    clipper = Clipper()
    extension = [
        written
        for fields in (_place(leaf), _record(recorded), _actor(event), _objects(event), _circumstances(event))
        for field in fields
        if (written := _written(field, clipper))
    ]
    if clipper.fields:
        extension.append(f"AuditTrailTruncated={','.join(clipper.fields)}")
    return "|".join(
        ("CEF:0", *(_plain(part).translate(_HEADER_ESCAPES) for part in head), " ".join(extension))
    )


def _place(leaf: LeafFacts) -> Iterator[Field]:
    """First of all: a receiver that cuts a message cuts its end."""
    yield from _labelled("cn1", "position", str(leaf.position))
    yield from _labelled("cn2", "previousPosition", _number(leaf.previous_position))
    yield from _labelled("cn3", "treeSize", _number(leaf.tree_head_size))
    yield from _labelled("cs1", "leafHash", leaf.leaf_hash.hex())
    yield from _labelled("cs5", "logOrigin", leaf.origin)


def _record(recorded: RecordedEvent) -> Iterator[Field]:
    event = recorded.event
    yield Field("externalId", str(event.event_id), 40)
    yield Field("rt", str(to_milliseconds(recorded.recorded_at)))
    yield Field("start", str(to_milliseconds(event.occurred_at)))
    yield Field("cat", CATALOGUE.get(event.type, CATALOGUE[GENERIC_TYPE]).category.value)
    yield Field("act", _ACTIONS[event.action] if event.action else None, 63)
    yield Field("outcome", event.outcome.value, 63)
    yield Field("reason", event.outcome_reason)
    yield Field("sourceServiceName", event.source.service)
    yield Field("deviceFacility", event.source.site)
    yield Field("deviceExternalId", event.source.instance, 255)


def _actor(event: AuditEvent) -> Iterator[Field]:
    yield Field("suid", event.actor.id)
    yield Field("suser", event.actor.name)
    yield Field("spriv", list(event.actor.roles))
    yield Field("AuditTrailActorKind", event.actor.kind.value)
    yield Field("AuditTrailOnBehalfOf", event.actor.on_behalf_of)
    if event.client is not None:
        yield from _address(event.client)
        yield Field("requestClientApplication", event.client.user_agent)


def _address(client: Client) -> Iterator[Field]:
    """The key depends on what the address is: ``src`` takes IPv4 alone."""
    try:
        address = ipaddress.ip_address(client.address or "")
    except ValueError:
        yield Field("shost", client.address)
        return
    if address.version == 4:
        yield Field("src", str(address))
    else:
        yield from _labelled("c6a2", "Source IPv6 Address", str(address).partition("%")[0])


def _objects(event: AuditEvent) -> Iterator[Field]:
    yield from _labelled("cs2", "patients", [patient.id for patient in event.patients])
    yield from _labelled("cs3", "resources", [f"{each.type}/{each.id}" for each in event.resources])
    if event.device is not None:
        yield from _labelled("flexString2", "device", event.device.id)
    yield Field("AuditTrailDataCategories", _distinct(each.data_category for each in event.resources))
    yield Field("AuditTrailChangedFields", [change.path for change in event.changes])


def _circumstances(event: AuditEvent) -> Iterator[Field]:
    yield from _labelled("cs4", "correlationId", event.correlation_id)
    yield from _labelled("cs6", "session", event.session)
    if event.request is not None:
        yield Field("requestMethod", event.request.method)
        yield Field("request", event.request.path)
        yield from _labelled("flexString1", "httpStatus", _number(event.request.status))
    yield Field("msg", event.reason)
    yield Field("AuditTrailPurposeOfUse", list(event.purpose_of_use))
    yield Field("AuditTrailEmergency", "true" if event.emergency else None)
    if event.disclosure is not None:
        yield Field("AuditTrailDisclosureRecipient", event.disclosure.recipient)
        yield Field("AuditTrailDisclosurePurpose", event.disclosure.purpose)
    yield Field("AuditTrailCodes", [f"{code.system or ''}#{code.code or ''}" for code in event.codes])
    if event.attributes:
        yield Field("AuditTrailAttributes", msgspec.json.encode(event.attributes).decode(), 2048)


def _labelled(key: str, label: str, value: str | list[str] | None) -> Iterator[Field]:
    """A custom key and the label that says what it holds."""
    if value:
        yield Field(f"{key}Label", label)
        yield Field(key, value, 4000 if key.startswith("cs") else 1023)


def _written(field: Field, clipper: Clipper) -> str | None:
    """``key=value``, or None without a value."""
    if not field.value:
        return None
    if isinstance(field.value, str):
        value = clipper.text(field.key, _plain(field.value), field.length)
    else:
        value = clipper.listing(field.key, [_plain(each) for each in field.value], field.length)
    return f"{field.key}={value.translate(_EXTENSION_ESCAPES)}" if value else None


def _plain(value: str) -> str:
    """Without control characters but the ends of lines, and without white space around it, which readers lose."""
    return _CONTROL.sub("\ufffd", value).strip()


def _distinct(values: Iterator[str | None]) -> list[str]:
    return list(dict.fromkeys(filter(None, values)))


def _number(value: int | None) -> str | None:
    return None if value is None else str(value)
