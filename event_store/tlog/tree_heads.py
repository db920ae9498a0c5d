"""Tree heads of C2SP tlog-checkpoint: origin, size and root hash of a log, in a signed note."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from domain.errors import ProofError
from event_store.merkle import HASH_SIZE
from event_store.tlog.encoding import MAX_NUMBER, hash_from_base64, number, require_printable, to_base64
from event_store.tlog.notes import Note, SigningKey, VerifierKey, verified


class TreeHead(NamedTuple):
    """The state of a log: `size` leaves whose RFC 6962 root hash is `root` (32 bytes)."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The signed text, without extension lines. Raises `ProofError` for a head that can't be encoded."""
        if not self.origin or "\n" in self.origin:
            raise ProofError("an origin is one line of text")
        require_printable(self.origin, "origin")
        if not 0 <= self.size <= MAX_NUMBER or len(self.root) != HASH_SIZE:
            raise ProofError("a tree head has a size from 0 to 2^63 - 1 and a root hash of 32 bytes")
        return f"{self.origin}\n{self.size}\n{to_base64(self.root)}\n"

    @classmethod
    def parse(cls, text: str) -> TreeHead:
        """Parse the text of a note. Extension lines of other logs are allowed and ignored."""
        lines = text.split("\n")
        if len(lines) < 4 or lines.pop() or not all(lines):
            raise ProofError("a tree head has at least three lines, none of them empty")
        origin, size, root = lines[:3]
        require_printable(origin, "origin")
        return cls(origin, number(size, "the tree size"), hash_from_base64(root, "the root hash"))


def sign_head(head: TreeHead, keys: Sequence[SigningKey]) -> Note:
    """The head, signed by each of the keys."""
    text = head.text()
    return Note(text, tuple(key.sign(text) for key in keys))


def open_head(data: bytes, keys: Sequence[VerifierKey], origin: str | None = None) -> tuple[TreeHead, Note]:
    """Parse and verify a signed tree head: at least one of `keys` has signed it. `origin`, if given, must match.

    Pass only keys of the log: a cosigner's key would be accepted in their place. Raises `ProofError`.
    """
    note = Note.parse(data)
    if not verified(note, keys):
        raise ProofError("no known key has signed the tree head")
    head = TreeHead.parse(note.text)
    if origin is not None and head.origin != origin:
        raise ProofError("the tree head belongs to another log")
    return head, note
