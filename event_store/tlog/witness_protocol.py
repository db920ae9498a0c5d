"""Bodies of the witness protocol (C2SP tlog-witness, add-checkpoint), for client and server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from domain.errors import ProofError
from event_store.tlog.encoding import MAX_PROOF, hash_lines, number, text_of, to_base64
from event_store.tlog.notes import Signature, encode_signatures, parse_signatures

SIZE_MEDIA_TYPE = "text/x.tlog.size"


class AddCheckpoint(NamedTuple):
    """A request to cosign: `proof` leads from the tree of `old_size` to the signed tree head `note`."""

    old_size: int
    proof: tuple[bytes, ...]
    note: bytes

    def encode(self) -> bytes:
        """Encode the body of the request."""
        if self.old_size < 0 or len(self.proof) > MAX_PROOF:
            raise ProofError("a request has an old size from 0 and 63 hashes at most")
        lines = [f"old {self.old_size}", *map(to_base64, self.proof)]
        return ("\n".join(lines) + "\n\n").encode("ascii") + self.note

    @classmethod
    def parse(cls, body: bytes) -> AddCheckpoint:
        """Parse the body of a request, without its note. Raises `ProofError` when it is malformed."""
        head, blank, note = body.partition(b"\n\n")
        if not blank:
            raise ProofError("the request has no blank line before its tree head")
        old, *lines = text_of(head, "request").split("\n")
        if not old.startswith("old "):
            raise ProofError("the request begins with its old size")
        return cls(
            number(old.removeprefix("old "), "the old size"), hash_lines(lines, "consistency proof"), note
        )


def encode_cosignatures(signatures: Sequence[Signature]) -> bytes:
    """The body of a 200 response: one line for each signature."""
    return encode_signatures(signatures).encode()


def parse_cosignatures(body: bytes) -> tuple[Signature, ...]:
    """The unverified signatures in a 200 response. Raises `ProofError` when it is malformed."""
    return parse_signatures(text_of(body, "answer"))


def encode_size(size: int) -> bytes:
    """The body of a 409 response, `text/x.tlog.size`: the size that the witness cosigned last."""
    return b"%d\n" % size


def parse_size(body: bytes) -> int:
    """The size in a 409 response. Raises `ProofError` when it is malformed."""
    text = text_of(body, "answer")
    if not text.endswith("\n"):
        raise ProofError("the size does not end with a newline")
    return number(text[:-1], "the size")
