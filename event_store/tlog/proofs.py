"""Merkle proofs of RFC 6962 / RFC 9162 section 2.1: which hashes form a proof, and how it verifies.

A proof consists of the hashes of complete subtrees, which never change. The last subtree of a tree is usually
incomplete; its hash is folded from complete ones (as in transparency-dev/merkle `proof.Nodes`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from domain.errors import ProofError
from event_store.merkle import EMPTY_ROOT, HASH_SIZE, node_hash
from event_store.tlog.encoding import MAX_NUMBER

# (level k, index i): the complete subtree over the leaves [i * 2^k, (i + 1) * 2^k).
Subtree = tuple[int, int]
# Returns their hashes in the same order. Called once per proof.
Nodes = Callable[[Sequence[Subtree]], list[bytes]]


class ProofPlan(NamedTuple):
    """The parts of a proof: the hashes of `subtrees`, of which those from `start` to `stop` are folded into one."""

    subtrees: tuple[Subtree, ...]
    start: int
    stop: int

    def proof(self, hashes: Sequence[bytes]) -> list[bytes]:
        """The proof, given the hashes of `subtrees` in their order."""
        if len(hashes) != len(self.subtrees):
            raise ProofError("a proof needs one hash for each of its subtrees")
        if self.start == self.stop:
            return list(hashes)
        return [*hashes[: self.start], _fold(hashes[self.start : self.stop]), *hashes[self.stop :]]


def inclusion_nodes(index: int, size: int) -> ProofPlan:
    """The plan of the proof that leaf `index` is in the tree of `size`. Raises `ProofError` unless index < size."""
    if not 0 <= index < size <= MAX_NUMBER:
        raise ProofError("no tree of that size has that leaf")
    return _skip_first(_path(0, index, size))


def consistency_nodes(old: int, new: int) -> ProofPlan:
    """The plan of the proof that the tree of `new` leaves extends that of `old`.

    Raises `ProofError` unless old <= new.
    """
    if not 0 <= old <= new <= MAX_NUMBER:
        raise ProofError("a consistency proof leads from a smaller tree to a larger one")
    if old in {0, new}:
        return ProofPlan((), 0, 0)
    # The largest complete subtree that ends where the old tree ends. If it is the whole old tree, the verifier already
    # has its hash.
    level = _trailing_zeros(old)
    plan = _path(level, (old - 1) >> level, new)
    return _skip_first(plan) if old == 1 << level else plan


def root_nodes(size: int) -> list[Subtree]:
    """The complete subtrees of a tree, left to right."""
    return _range(0, size)


def inclusion_proof(index: int, size: int, nodes: Nodes) -> list[bytes]:
    """The hashes from the leaf's sibling up to the root's child (RFC 9162 2.1.3.1)."""
    plan = inclusion_nodes(index, size)
    return plan.proof(nodes(plan.subtrees))


def consistency_proof(old: int, new: int, nodes: Nodes) -> list[bytes]:
    """RFC 9162 2.1.4.1. Empty from size 0, and from a size to itself."""
    plan = consistency_nodes(old, new)
    return plan.proof(nodes(plan.subtrees))


def root_at(size: int, nodes: Nodes) -> bytes:
    """The root hash of the tree of `size`."""
    if not 0 <= size <= MAX_NUMBER:
        raise ProofError("the size of a tree is from 0 to 2^63 - 1")
    return _fold(nodes(root_nodes(size))[::-1]) if size else EMPTY_ROOT


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Raise `ProofError` unless the leaf with hash `leaf` is at `index` in the tree (RFC 9162 2.1.3.2)."""
    if not 0 <= index < size:
        raise ProofError("no tree of that size has that leaf")
    _require_hashes(leaf, root, *proof)
    at, last = index, size - 1
    hash = leaf
    for sibling in proof:
        if last == 0:
            raise ProofError("the inclusion proof is too long")
        if at & 1 or at == last:
            hash = node_hash(sibling, hash)
            at, last = _to_right_child(at, last)
        else:
            hash = node_hash(hash, sibling)
        at, last = at >> 1, last >> 1
    if last:
        raise ProofError("the inclusion proof is too short")
    if hash != root:
        raise ProofError("the inclusion proof does not lead to the root hash")


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Raise `ProofError` unless the new tree extends the old one (RFC 9162 2.1.4.2)."""
    if not 0 <= old <= new:
        raise ProofError("a consistency proof leads from a smaller tree to a larger one")
    _require_hashes(old_root, new_root, *proof)
    for size, root in ((old, old_root), (new, new_root)):
        if size == 0 and root != EMPTY_ROOT:
            raise ProofError("the root hash of an empty tree is SHA-256 of the empty string")
    if old in {0, new}:
        if proof:
            raise ProofError("a consistency proof from an empty tree, or to the same size, is empty")
        if old == new and old_root != new_root:
            raise ProofError("two trees of the same size have different root hashes")
        return
    _climb(old, new, old_root, new_root, proof)


def _climb(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if len(path) < 1 + (old & (old - 1) == 0):
        raise ProofError("the consistency proof is empty")
    shift = _trailing_zeros(old)
    at, last = (old - 1) >> shift, (new - 1) >> shift
    old_hash = new_hash = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise ProofError("the consistency proof is too long")
        if at & 1 or at == last:
            old_hash = node_hash(sibling, old_hash)
            new_hash = node_hash(sibling, new_hash)
            at, last = _to_right_child(at, last)
        else:
            new_hash = node_hash(new_hash, sibling)
        at, last = at >> 1, last >> 1
    if last:
        raise ProofError("the consistency proof is too short")
    if old_hash != old_root or new_hash != new_root:
        raise ProofError("the consistency proof does not lead to both root hashes")


def _path(level: int, index: int, size: int) -> ProofPlan:
    """The plan from a subtree to the root of the tree of `size`."""
    # Above the fork, the ancestors of the subtree are on the right edge of the tree, and their right siblings are
    # incomplete.
    inner = (index ^ (size >> level)).bit_length() - 1
    fork_level, fork_index = level + inner, index >> inner
    subtrees = [(level, index)]
    subtrees += [(level + step, (index >> step) ^ 1) for step in range(inner)]
    start = len(subtrees)
    subtrees += reversed(_range((fork_index + 1) << fork_level, size))
    stop = len(subtrees)
    subtrees += reversed(_range(0, fork_index << fork_level))
    return ProofPlan(tuple(subtrees), start, stop)


def _skip_first(plan: ProofPlan) -> ProofPlan:
    return ProofPlan(plan.subtrees[1:], plan.start - 1, plan.stop - 1)


def _range(begin: int, end: int) -> list[Subtree]:
    """The minimal set of complete subtrees over the leaves [begin, end), left to right."""
    subtrees = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        if begin:
            level = min(level, _trailing_zeros(begin))
        subtrees.append((level, begin >> level))
        begin += 1 << level
    return subtrees


def _fold(hashes: Sequence[bytes]) -> bytes:
    """The hash over subtrees, given from right to left."""
    folded = hashes[0]
    for hash in hashes[1:]:
        folded = node_hash(hash, folded)
    return folded


def _to_right_child(at: int, last: int) -> tuple[int, int]:
    """Skip the levels where the last node has no sibling and equals its parent."""
    while at and not at & 1:
        at, last = at >> 1, last >> 1
    return at, last


def _trailing_zeros(number: int) -> int:
    return (number & -number).bit_length() - 1


def _require_hashes(*hashes: bytes) -> None:
    if any(len(hash) != HASH_SIZE for hash in hashes):
        raise ProofError(f"a hash is {HASH_SIZE} bytes long")
