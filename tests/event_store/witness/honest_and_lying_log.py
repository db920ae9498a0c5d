"""A log that can tell the truth and lie, and what it asks of a witness."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from event_store.tlog import proofs
from event_store.tlog.keys import COSIGNATURE_V1, ED25519, SigningKey
from event_store.tlog.notes import Note
from event_store.tlog.tree_heads import TreeHead, sign_head
from event_store.tlog.witness_protocol import AddCheckpoint
from tests.event_store.tlog.naive import LEAVES, nodes_of, tree_hash

ORIGIN = "example.com/log"
LOG_KEY = SigningKey(ORIGIN, ED25519, bytes(range(32)))
NEXT_LOG_KEY = SigningKey(ORIGIN, ED25519, bytes(range(1, 33)))
OTHER_LOG_KEY = SigningKey("example.com/other", ED25519, bytes(range(2, 34)))
WITNESS_KEY = SigningKey("example.org/witness", COSIGNATURE_V1, bytes(range(3, 35)))
OTHER_LEAVES = [sha256(leaf).digest() for leaf in LEAVES]


def note(
    size: int,
    keys: Sequence[SigningKey] = (LOG_KEY,),
    leaves: Sequence[bytes] = LEAVES,
    origin: str = ORIGIN,
) -> Note:
    """The signed head of the first `size` leaves."""
    return sign_head(TreeHead(origin, size, tree_hash(leaves[:size])), keys)


def proof(old: int, new: int, leaves: Sequence[bytes] = LEAVES) -> tuple[bytes, ...]:
    return tuple(proofs.consistency_proof(old, new, nodes_of(leaves)))


def request(old: int, new: int, head: Note | None = None, leaves: Sequence[bytes] = LEAVES) -> bytes:
    """The body that asks to cosign the tree of `new` leaves after that of `old`."""
    made = proof(old, new, leaves) if old <= new else ()
    return AddCheckpoint(old, made, (head or note(new, leaves=leaves)).encode()).encode()
