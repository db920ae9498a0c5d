"""Cosignatures (C2SP tlog-cosignature, cosignature/v1): what a witness says about another's tree head.

As of that second, this is the largest tree of this log that the cosigner has seen, consistent with all before.
"""

from __future__ import annotations

from domain.errors import ProofError
from event_store.tlog.keys import COSIGNATURE_V1, TIMESTAMP_SIZE, Signature, SigningKey, VerifierKey


def cosign(key: SigningKey, text: str, at: int) -> Signature:
    """Cosign a tree head's text, extension lines included; `at` is seconds since 1970. `key` has algorithm 4."""
    return key.sign_at(text, at)


def check(key: VerifierKey, text: str, signature: Signature) -> int:
    """The time of a cosignature in seconds since 1970. Raises `ProofError` when it isn't this key's over this text."""
    if key.algorithm != COSIGNATURE_V1:
        raise ProofError("the key is no cosigner's key")
    if (signature.name, signature.key_id) != (key.name, key.key_id):
        raise ProofError("the cosignature is another key's")
    if not key.verify(text.encode(), signature.value):
        raise ProofError(f"the cosignature of {key.name}+{key.key_id.hex()} does not verify")
    return int.from_bytes(signature.value[:TIMESTAMP_SIZE], "big")
