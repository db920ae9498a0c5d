"""Proof files (C2SP tlog-proof, `.tlog-proof`): the complete offline proof that an entry is in a log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from domain.errors import ProofError
from event_store.tlog.encoding import MAX_PROOF, from_base64, hash_lines, number, text_of, to_base64
from event_store.tlog.notes import MAX_NOTE

HEADER = "c2sp.org/tlog-proof@v1"
MAX_PROOF_FILE = 2 * MAX_NOTE


@dataclass(frozen=True, slots=True)
class ProofFile:
    """A parsed proof file. `note` is the signed tree head, not verified yet. No signature ever covers `extra`."""

    index: int
    hashes: tuple[bytes, ...]
    note: bytes
    extra: bytes | None = None


def encode_proof(index: int, hashes: Sequence[bytes], note: bytes, extra: bytes | None = None) -> bytes:
    """Encode a proof file for leaf `index` from the hashes of its inclusion proof and the signed tree head."""
    if index < 0 or len(hashes) > MAX_PROOF:
        raise ProofError("a proof has an index from 0 and 63 hashes at most")
    lines = [HEADER]
    if extra is not None:
        lines.append(f"extra {to_base64(extra)}")
    lines.append(f"index {index}")
    lines += map(to_base64, hashes)
    return ("\n".join(lines) + "\n\n").encode("ascii") + note


def parse_proof(data: bytes) -> ProofFile:
    """Parse a proof file of at most 2 MB. Raises `ProofError` when it is malformed."""
    if len(data) > MAX_PROOF_FILE:
        raise ProofError(f"the proof file is longer than {MAX_PROOF_FILE} bytes")
    head, blank, note = data.partition(b"\n\n")
    if not blank:
        raise ProofError("the proof file has no blank line before its tree head")
    lines = text_of(head, "proof file").split("\n")
    if lines.pop(0) != HEADER:
        raise ProofError(f"a proof file begins with {HEADER}")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = from_base64(lines.pop(0).removeprefix("extra "), "the extra data")
    if not lines or not lines[0].startswith("index "):
        raise ProofError("the proof file has no index of its leaf")
    index = number(lines.pop(0).removeprefix("index "), "the index")
    return ProofFile(index, hash_lines(lines, "inclusion proof"), note, extra)
