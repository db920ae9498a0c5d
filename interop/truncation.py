"""Cut foreign values to the limits of an event. Long foreign text is shortened; it never causes a rejection."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from uuid import UUID

IDENTIFIER_LENGTH = 256
NAME_LENGTH = 1024
TEXT_LENGTH = 65536

_DIGEST = 64  # hexadecimal characters of SHA-256
_RFC3339 = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})[Tt](?P<clock>[0-9]{2}:[0-9]{2}):(?P<second>[0-9]{2})"
    r"(?:\.(?P<fraction>[0-9]+))?(?:[Zz]|(?P<offset>[+-](?:[01][0-9]|2[0-3]):[0-5][0-9]))"
)
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def identifier(value: str | None) -> str | None:
    """`value` as an identifier of at most 256 characters, or None if it is blank.

    A longer value becomes its first 191 characters, ``~`` and its SHA-256. So it stays unique, and every caller
    shortens it to the same text.
    """
    value = (value or "").strip()
    if len(value) <= IDENTIFIER_LENGTH:
        return value or None
    digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{value[: IDENTIFIER_LENGTH - _DIGEST - 1]}~{digest}"


def name(value: str | None) -> str | None:
    """`value` cut to 1,024 characters; None when it is blank."""
    return _clip(value, NAME_LENGTH)


def text(value: str | None) -> str | None:
    """`value` cut to 65,536 characters; None when it is blank."""
    return _clip(value, TEXT_LENGTH)


def timestamp(value: str) -> datetime | None:
    """An RFC 3339 time with its offset, or None for any other text.

    Digits after the microsecond are dropped. A leap second becomes the last microsecond before it.
    """
    match = _RFC3339.fullmatch(value)
    if match is None:
        return None
    second, fraction = match["second"], (match["fraction"] or "")[:6].ljust(6, "0")
    if second == "60":
        second, fraction = "59", "999999"
    iso = f"{match['date']}T{match['clock']}:{second}.{fraction}{match['offset'] or '+00:00'}"
    try:
        moment = datetime.fromisoformat(iso)
        moment.astimezone(UTC)  # year 1 with a positive offset is before the first storable instant
    except (ValueError, OverflowError):
        return None
    return moment


def uuid(value: str | None) -> UUID | None:
    """A UUID in its canonical form of 36 characters. None for other text and for the nil and max UUIDs."""
    if value is None or not _UUID.fullmatch(value):
        return None
    number = UUID(value)
    return number if 0 < number.int < (1 << 128) - 1 else None


def _clip(value: str | None, length: int) -> str | None:
    value = (value or "").strip()
    return (value if len(value) <= length else value[: length - 1] + "…") or None
