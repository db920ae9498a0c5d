"""Syslog messages (RFC 5424) and their frames on a stream (RFC 5425, octet counting).

The body is another format's: CEF, a DICOM audit message, JSON. The structured data say where the event stands in the
log, so that a receiver notices a gap without reading the body, and keeps it when it cuts a long message at its end.
"""

from __future__ import annotations

import re
from datetime import UTC
from typing import NamedTuple

from domain.event import RecordedEvent
from interop.clipping import Clipper
from interop.leaf import LeafFacts
from interop.severity import severity_of

FACILITY_AUTHPRIV = 10
"""Security and authorization messages: what DICOM PS3.15 A.6 prescribes for audit messages."""
FACILITY_AUDIT = 13
"""Log audit."""
EXAMPLE_ENTERPRISE = "32473"
"""The private enterprise number that RFC 5612 reserves for documentation: a site without one of its own uses it."""

_NIL = "-"
_BOM = b"\xef\xbb\xbf"
_NOT_PRINTABLE = re.compile(r"[^\x21-\x7e]")
_ENTERPRISE = re.compile(r"[0-9]{1,10}(?:\.[0-9]{1,10}){0,1}")
_SD_NAME = "auditTrail"
_ORIGIN_LENGTH = 255
_ESCAPED = str.maketrans({'"': '\\"', "\\": "\\\\", "]": "\\]"})


class Sender(NamedTuple):
    """Who sends the messages, as the header says it.

    `hostname` is a fully qualified name or an address (RFC 5424, section 6.2.4). `enterprise` is the site's private
    enterprise number, possibly with a subidentifier; it makes the name of the structured data unique.
    """

    hostname: str
    app_name: str = "audit-trail"
    process_id: str = _NIL
    facility: int = FACILITY_AUDIT
    enterprise: str = EXAMPLE_ENTERPRISE


def check_sender(sender: Sender) -> Sender:
    """Return `sender` if messages can be made with it. Raises `ValueError`."""
    if not 0 <= sender.facility <= 23:
        raise ValueError(f"{sender.facility} is no facility of syslog: 0 to 23")
    if not _ENTERPRISE.fullmatch(sender.enterprise):
        raise ValueError(
            f"{sender.enterprise!r} is no private enterprise number: write it as 32473 or 32473.1"
        )
    return sender


def message(
    recorded: RecordedEvent,
    leaf: LeafFacts,
    body: bytes,
    sender: Sender,
    *,
    message_id: str | None = None,
    severity: int | None = None,
) -> bytes:
    """One syslog message (RFC 5424, section 6) with `body` as its MSG, whole.

    `body` is UTF-8 without a byte order mark. The mark is put before a body that is not plain ASCII, as section 6.4
    asks. `message_id` is the event's type unless given, `severity` that of the event. The time is when the trail
    recorded the event, which is when it originated this message. Raises `ValueError` for a sender that is not usable.
    """
    return b" ".join(
        part
        for part in (
            header(recorded, sender, message_id=message_id, severity=severity).encode("ascii"),
            structured_data(recorded, leaf, sender.enterprise).encode(),
            body if body.isascii() else _BOM + body,
        )
        if part
    )


def frame(message: bytes) -> bytes:
    """The message with its length in octets before it: SYSLOG-FRAME (RFC 5425, section 4.3)."""
    return b"%d %s" % (len(message), message)


def header(
    recorded: RecordedEvent, sender: Sender, *, message_id: str | None = None, severity: int | None = None
) -> str:
    """The header, from the priority to the message id, in printable ASCII."""
    check_sender(sender)
    if severity is None:
        severity = severity_of(recorded.event).syslog
    time = recorded.recorded_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return " ".join(
        (
            f"<{sender.facility * 8 + severity}>1",
            time,
            _token(sender.hostname, 255),
            _token(sender.app_name, 48),
            _token(sender.process_id, 128),
            _token(message_id or recorded.event.type, 32),
        )
    )


def structured_data(recorded: RecordedEvent, leaf: LeafFacts, enterprise: str = EXAMPLE_ENTERPRISE) -> str:
    """The one element of structured data. A parameter that is not known is absent."""
    clipper = Clipper()
    parameters = {
        "position": leaf.position,
        "previousPosition": leaf.previous_position,
        "leafHash": leaf.leaf_hash.hex(),
        "treeSize": leaf.tree_head_size,
        "origin": _without_controls(clipper.text("origin", leaf.origin, _ORIGIN_LENGTH)),
        "eventId": recorded.event.event_id,
        "occurredAt": recorded.event.occurred_at.isoformat(),
        "truncated": ",".join(clipper.fields) or None,
    }
    written = "".join(
        f' {name}="{str(value).translate(_ESCAPED)}"'
        for name, value in parameters.items()
        if value is not None
    )
    return f"[{_SD_NAME}@{enterprise}{written}]"


def _token(value: str, length: int) -> str:
    """`value` as printable ASCII without spaces; what can't be written is ``?``, and a cut is ``~``."""
    written = _NOT_PRINTABLE.sub("?", value)
    return (written if len(written) <= length else written[: length - 1] + "~") or _NIL


def _without_controls(value: str) -> str:
    return "".join(character if character.isprintable() else "\ufffd" for character in value)
