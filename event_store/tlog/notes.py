"""Signed notes (C2SP signed-note): a text, a blank line, and one line per signature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from domain.errors import ProofError
from event_store.tlog.encoding import require_printable, text_of
from event_store.tlog.keys import COSIGNATURE_V1, ED25519, Signature, SigningKey, VerifierKey

__all__ = [
    "COSIGNATURE_V1",
    "ED25519",
    "Note",
    "Signature",
    "SigningKey",
    "VerifierKey",
    "parse_signatures",
    "verified",
]

# The specification requires support for at least 16 signatures, and says that one may have 5 kB.
MAX_SIGNATURES = 100
MAX_NOTE = 1_000_000


class Note(NamedTuple):
    """A text that ends with a newline, and unverified signatures: see `verified`."""

    text: str
    signatures: tuple[Signature, ...]

    def encode(self) -> bytes:
        """Encode the signed note. Raises `ProofError` when it would be malformed."""
        if not self.text.endswith("\n"):
            raise ProofError("a note's text ends with a newline")
        require_printable(self.text, "note")
        if not 0 < len(self.signatures) <= MAX_SIGNATURES:
            raise ProofError(f"a note has 1 to {MAX_SIGNATURES} signatures")
        return (self.text + "\n" + encode_signatures(self.signatures)).encode()

    @classmethod
    def parse(cls, data: bytes) -> Note:
        """Parse a signed note of at most 1 MB. Raises `ProofError` when it is malformed. Verifies nothing."""
        if len(data) > MAX_NOTE:
            raise ProofError(f"the note is longer than {MAX_NOTE} bytes")
        text, blank, signatures = text_of(data, "note").rpartition("\n\n")
        if not blank:
            raise ProofError("the note has no blank line before its signatures")
        return cls(text + "\n", parse_signatures(signatures))


def encode_signatures(signatures: Sequence[Signature]) -> str:
    """Encode signature lines, each terminated by a newline."""
    return "".join(signature.line() + "\n" for signature in signatures)


def parse_signatures(text: str) -> tuple[Signature, ...]:
    """Parse 1 to 100 signature lines, each terminated by a newline. Raises `ProofError`."""
    if not text.endswith("\n"):
        raise ProofError("the last signature line does not end with a newline")
    lines = text[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise ProofError(f"there are more than {MAX_SIGNATURES} signatures")
    return tuple(Signature.parse(line) for line in lines)


def verified(note: Note, keys: Sequence[VerifierKey]) -> list[VerifierKey]:
    """The keys with a valid signature, in the order of `keys`.

    Signatures of unknown keys are ignored. Raises `ProofError` when a signature with the name and id of a known key
    does not verify: the note was altered, or the signature is forged.
    """
    known = {(key.name, key.key_id): key for key in keys}
    if len(known) != len(set(keys)):
        raise ProofError("two different keys have the same name and key id")
    message = note.text.encode()
    valid: set[VerifierKey] = set()
    for signature in note.signatures:
        key = known.get((signature.name, signature.key_id))
        if key is None:
            continue
        if not key.verify(message, signature.value):
            raise ProofError(f"the signature of {key.name}+{key.key_id.hex()} does not verify")
        valid.add(key)
    return [key for key in dict.fromkeys(keys) if key in valid]
