"""Files to messages: JSON (one event or an array), NDJSON, FHIR (an AuditEvent or a Bundle of them)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from domain.errors import InvalidEventError, Reason, RejectedError
from domain.validation import read_json
from event_store.files.folders import read_input


class _Entry(msgspec.Struct):
    resource: msgspec.Raw = msgspec.Raw(b"null")


class _Bundle(msgspec.Struct):
    resourceType: str  # noqa: N815 - FHIR's name
    entry: list[_Entry] = []


MOST_BYTES = 64 << 20
"""Of one file. All of it is read and checked before any of it is published."""


def messages_of(path: Path) -> Iterator[bytes]:
    """The messages of a file, each as its bytes stand in the file.

    Raises `RejectedError` that names the file, and the line of an NDJSON file, when it is neither, and
    `ConfigurationError` when the file is larger than `MOST_BYTES`.
    """
    try:
        data = read_input(path, MOST_BYTES)
    except OSError as exc:
        raise InvalidEventError(
            Reason.INVALID_ENCODING, f"can't be read: {exc.strerror}", field=str(path)
        ) from exc
    try:
        document = read_json(data)
    except RejectedError as exc:
        yield from _lines(path, data, exc)
        return
    if isinstance(document, list):
        yield from map(bytes, msgspec.json.decode(data, type=list[msgspec.Raw]))
    elif isinstance(document, dict) and document.get("resourceType") == "Bundle":
        try:
            bundle = msgspec.json.decode(data, type=_Bundle)
        except msgspec.ValidationError as exc:
            raise InvalidEventError(Reason.INVALID_FIELD, f"no FHIR Bundle: {exc}", field=str(path)) from exc
        yield from (bytes(entry.resource) for entry in bundle.entry)
    else:
        yield data.strip()


def _lines(path: Path, data: bytes, whole: RejectedError) -> Iterator[bytes]:
    """NDJSON. One line that is no JSON means a broken file; then nothing of it is published."""
    lines = [(number, line) for number, line in enumerate(data.splitlines(), 1) if line.strip()]
    if len(lines) < 2:
        raise InvalidEventError(whole.reason, whole.message, field=str(path)) from whole
    for number, line in lines:
        try:
            read_json(line)
        except RejectedError as exc:
            raise InvalidEventError(exc.reason, exc.message, field=f"{path}:{number}") from exc
    yield from (line for _, line in lines)
