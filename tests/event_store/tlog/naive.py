"""RFC 6962 section 2.1, word by word: what the real implementation is held against."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from event_store.tlog.proofs import Nodes, Subtree


def tree_hash(leaves: Sequence[bytes]) -> bytes:
    """MTH over leaf hashes."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = split_of(len(leaves))
    return sha256(b"\x01" + tree_hash(leaves[:split]) + tree_hash(leaves[split:])).digest()


def path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH(m, D[n]), the audit path."""
    if len(leaves) == 1:
        return []
    split = split_of(len(leaves))
    if index < split:
        return [*path(index, leaves[:split]), tree_hash(leaves[split:])]
    return [*path(index - split, leaves[split:]), tree_hash(leaves[:split])]


def proof(old: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PROOF(m, D[n])."""
    return subproof(old, leaves, whole=True)


def subproof(old: int, leaves: Sequence[bytes], *, whole: bool) -> list[bytes]:
    """SUBPROOF(m, D[n], b)."""
    if old == len(leaves):
        return [] if whole else [tree_hash(leaves)]
    split = split_of(len(leaves))
    if old <= split:
        return [*subproof(old, leaves[:split], whole=whole), tree_hash(leaves[split:])]
    return [*subproof(old - split, leaves[split:], whole=False), tree_hash(leaves[:split])]


def split_of(size: int) -> int:
    """The largest power of two smaller than `size`."""
    return int(2 ** ((size - 1).bit_length() - 1))


def nodes_of(leaves: Sequence[bytes]) -> Nodes:
    """Hashes of complete subtrees; a subtree that is not complete is a failure."""

    def nodes(subtrees: Sequence[Subtree]) -> list[bytes]:
        assert all((index + 1) << level <= len(leaves) for level, index in subtrees)
        return [tree_hash(leaves[index << level : (index + 1) << level]) for level, index in subtrees]

    return nodes


LEAVES = [sha256(b"\x00" + number.to_bytes(2, "big")).digest() for number in range(600)]
ROOTS = [tree_hash(LEAVES[:size]) for size in range(131)]
