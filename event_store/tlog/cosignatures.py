"""Cosignatures (C2SP tlog-cosignature, cosignature/v1): a witness's statement about a tree head of another log.

It states that at that second, this was the largest tree of the log that the witness had seen, and that it is consistent
with all earlier ones.
"""

from __future__ import annotations

from domain.errors import ProofError
from event_store.tlog.keys import COSIGNING, TIMESTAMP_SIZE, Signature, SigningKey, VerifierKey


def cosign(key: SigningKey, text: str, at: int) -> Signature:
    """Cosign a tree head's text with its extension lines, at `at` seconds since 1970. `key` has algorithm 4 or 6."""
    return key.sign_at(text, at)


def check(key: VerifierKey, text: str, signature: Signature) -> int:
    """The time of a cosignature in seconds since 1970. Raises `ProofError` when `key` did not make it over `text`."""
    if key.algorithm not in COSIGNING:
        raise ProofError("the key is not a cosigner's key")
    if (signature.name, signature.key_id) != (key.name, key.key_id):
        raise ProofError("the cosignature belongs to another key")
    if not key.verify(text.encode(), signature.value):
        raise ProofError(f"the cosignature of {key.name}+{key.key_id.hex()} does not verify")
    return int.from_bytes(signature.value[:TIMESTAMP_SIZE], "big")
