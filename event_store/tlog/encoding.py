"""The encodings that all C2SP formats share: base64 and decimal numbers, each in one canonical form."""

from __future__ import annotations

import base64
import binascii
import re

from domain.errors import ProofError
from event_store.merkle import HASH_SIZE

# The size of a log fits in a signed 64-bit integer, as in the database; so do the seconds of a cosignature (2^63 - 1).
MAX_NUMBER = 2**63 - 1
# The limit of the witness protocol. No proof in a tree of up to 2^62 leaves is longer.
MAX_PROOF = 63

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


def to_base64(data: bytes) -> str:
    """RFC 4648 section 4, with padding."""
    return base64.b64encode(data).decode("ascii")


def from_base64(text: str, what: str) -> bytes:
    """Decode base64. Only the output of `to_base64` is accepted, so that signed data has one encoding."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise ProofError(f"{what} is not base64") from exc
    if to_base64(data) != text:
        raise ProofError(f"{what} is not canonical base64")
    return data


def hash_from_base64(text: str, what: str) -> bytes:
    """A SHA-256 hash, 32 bytes."""
    data = from_base64(text, what)
    if len(data) != HASH_SIZE:
        raise ProofError(f"{what} is {len(data)} bytes long instead of {HASH_SIZE}")
    return data


def number(text: str, what: str) -> int:
    """A number from 0 to 2^63 - 1, ASCII decimal, without leading zeros."""
    if not _DECIMAL.fullmatch(text) or int(text) > MAX_NUMBER:
        raise ProofError(f"{what} is not a decimal number from 0 to 2^63 - 1 without leading zeros")
    return int(text)


def hash_lines(lines: list[str], what: str) -> tuple[bytes, ...]:
    """One hash per line, at most 63."""
    if len(lines) > MAX_PROOF:
        raise ProofError(f"the {what} has more than {MAX_PROOF} hashes")
    return tuple(hash_from_base64(line, f"a hash of the {what}") for line in lines)


def text_of(data: bytes, what: str) -> str:
    """Decode UTF-8 without control characters other than newline (signed-note, "Format")."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise ProofError(f"the {what} is not UTF-8") from exc
    require_printable(text, what)
    return text


def require_printable(text: str, what: str) -> None:
    """Raise `ProofError` for a control character below U+0020 other than newline, or for a lone surrogate."""
    if any((char < " " and char != "\n") or "\ud800" <= char <= "\udfff" for char in text):
        raise ProofError(f"the {what} has control characters")
