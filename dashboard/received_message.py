"""The message that an event was read from, as text for a page."""

from __future__ import annotations

from contextlib import suppress

import msgspec
from msgspec import Struct

from dashboard.texts import title
from domain.body import BodyFormat
from domain.body import ReceivedMessage as Received

MOST_SHOWN = 20_000
"""Characters of a message; the download has all of it."""
_MOST_PRETTY = 20_000
"""Bytes of a message that is laid out, one field a line: deep nesting makes that text many times as long."""
_NAMES: dict[BodyFormat, str] = {
    BodyFormat.NATIVE: "native JSON: the message is the event itself",
    BodyFormat.CLOUDEVENTS: "CloudEvents",
    BodyFormat.FHIR_R4: "FHIR AuditEvent, R4",
    BodyFormat.FHIR_R5: "FHIR AuditEvent, R5",
    BodyFormat.KEYCLOAK: "Keycloak",
}


class ReceivedMessage(Struct, frozen=True):
    """The message.

    `pretty`: `text` is JSON that was indented for reading. `cut`: `text` is only the beginning of the message.
    """

    format: str
    bytes: int
    headers: list[tuple[str, str]]
    text: str
    pretty: bool
    cut: bool


def received_message(received: Received) -> ReceivedMessage:
    """A message for a page. Bytes that are not UTF-8 are written as escapes."""
    text, pretty = _laid_out(received.message)
    return ReceivedMessage(
        format=_NAMES.get(received.format, title(received.format.name.lower())),
        bytes=len(received.message),
        headers=[(name, _decoded(value)) for name, value in received.headers],
        text=text[:MOST_SHOWN],
        pretty=pretty,
        cut=len(text) > MOST_SHOWN,
    )


def _laid_out(message: bytes) -> tuple[str, bool]:
    if len(message) <= _MOST_PRETTY:
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return msgspec.json.format(message, indent=2).decode(), True
    return _decoded(message), False


def _decoded(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")
