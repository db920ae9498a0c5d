from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import ProofError
from event_store.merkle import EMPTY_ROOT
from event_store.tlog import proofs
from event_store.tlog.proofs import Subtree
from tests.event_store.tlog.naive import LEAVES, ROOTS, nodes_of, path, proof, tree_hash

NODES = nodes_of(LEAVES)
SIZES = range(1, 41)


@pytest.mark.parametrize("size", SIZES)
def test_every_leaf_of_a_tree_has_the_inclusion_proof_of_the_rfc(size: int) -> None:
    for index in range(size):
        made = proofs.inclusion_proof(index, size, NODES)
        assert made == path(index, LEAVES[:size])
        proofs.verify_inclusion(index, size, LEAVES[index], made, ROOTS[size])


@pytest.mark.parametrize("new", SIZES)
def test_every_older_tree_has_the_consistency_proof_of_the_rfc(new: int) -> None:
    assert proofs.consistency_proof(0, new, NODES) == []
    for old in range(1, new + 1):
        made = proofs.consistency_proof(old, new, NODES)
        assert made == proof(old, LEAVES[:new])
        proofs.verify_consistency(old, new, ROOTS[old], ROOTS[new], made)


@given(st.integers(0, 599), st.integers(1, 600))
def test_proofs_of_larger_trees_verify(index: int, size: int) -> None:
    index, size = min(index, size - 1), max(index, size)
    root = proofs.root_at(size, NODES)
    assert root == tree_hash(LEAVES[:size])
    made = proofs.inclusion_proof(index, size, NODES)
    proofs.verify_inclusion(index, size, LEAVES[index], made, root)
    old_root = proofs.root_at(index, NODES)
    proofs.verify_consistency(index, size, old_root, root, proofs.consistency_proof(index, size, NODES))


@given(st.integers(1, 64), st.integers(1, 130), st.data())
def test_an_altered_consistency_proof_is_refused(old: int, new: int, data: st.DataObject) -> None:
    old, new = min(old, new), max(old, new)
    made = proofs.consistency_proof(old, new, NODES)
    for altered in alterations(made, data):
        with pytest.raises(ProofError):
            proofs.verify_consistency(old, new, ROOTS[old], ROOTS[new], altered)
    with pytest.raises(ProofError):
        proofs.verify_consistency(old, new, other(ROOTS[old]), ROOTS[new], made)
    with pytest.raises(ProofError):
        proofs.verify_consistency(old, new, ROOTS[old], other(ROOTS[new]), made)


@given(st.integers(0, 129), st.integers(1, 130), st.data())
def test_an_altered_inclusion_proof_is_refused(index: int, size: int, data: st.DataObject) -> None:
    index, size = min(index, size - 1), max(index, size)
    made = proofs.inclusion_proof(index, size, NODES)
    for altered in alterations(made, data):
        with pytest.raises(ProofError):
            proofs.verify_inclusion(index, size, LEAVES[index], altered, ROOTS[size])
    with pytest.raises(ProofError):
        proofs.verify_inclusion(index, size, other(LEAVES[index]), made, ROOTS[size])
    with pytest.raises(ProofError):
        proofs.verify_inclusion(index, size, LEAVES[index], made, other(ROOTS[size]))


def test_a_proof_for_another_place_is_refused() -> None:
    made = proofs.inclusion_proof(3, 40, NODES)
    for index in range(40):
        if index != 3:
            with pytest.raises(ProofError):
                proofs.verify_inclusion(index, 40, LEAVES[3], made, ROOTS[40])


def test_the_largest_tree_needs_one_look_at_the_store_and_at_most_63_hashes() -> None:
    asked: list[Sequence[Subtree]] = []

    def nodes(subtrees: Sequence[Subtree]) -> list[bytes]:
        asked.append(subtrees)
        return [sha256(repr(subtree).encode()).digest() for subtree in subtrees]

    assert len(proofs.inclusion_proof(0, 2**63 - 1, nodes)) == 63
    assert len(proofs.consistency_proof(3, 2**62, nodes)) == 63
    assert len(asked) == 2


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (5, 4), (-1, 4), (0, 2**63)])
def test_no_proof_is_made_for_a_leaf_that_is_not_there(index: int, size: int) -> None:
    with pytest.raises(ProofError):
        proofs.inclusion_proof(index, size, NODES)


@pytest.mark.parametrize(("old", "new"), [(2, 1), (-1, 4), (0, 2**63)])
def test_no_consistency_proof_leads_backwards(old: int, new: int) -> None:
    with pytest.raises(ProofError):
        proofs.consistency_proof(old, new, NODES)


@pytest.mark.parametrize(
    ("old", "new", "old_root", "new_root", "made"),
    [
        (2, 1, ROOTS[2], ROOTS[1], []),
        (-1, 1, ROOTS[2], ROOTS[1], []),
        (0, 1, EMPTY_ROOT, ROOTS[1], [ROOTS[1]]),
        (0, 1, ROOTS[1], ROOTS[1], []),
        (0, 0, ROOTS[1], ROOTS[1], []),
        (1, 1, ROOTS[1], ROOTS[2], []),
        (1, 1, ROOTS[1], ROOTS[1], [ROOTS[1]]),
        (4, 8, ROOTS[4], ROOTS[8], []),
        (5, 8, ROOTS[5], ROOTS[8], []),
        (4, 8, ROOTS[4], ROOTS[8], [b"short"]),
    ],
)
def test_a_consistency_that_cannot_be_is_refused(
    old: int, new: int, old_root: bytes, new_root: bytes, made: list[bytes]
) -> None:
    with pytest.raises(ProofError):
        proofs.verify_consistency(old, new, old_root, new_root, made)


@pytest.mark.parametrize(("real", "claimed"), [(4, 2), (2, 4), (100, 130), (130, 100), (100, 40), (40, 100)])
def test_a_proof_of_a_tree_of_another_height_is_refused(real: int, claimed: int) -> None:
    with pytest.raises(ProofError, match="too"):
        proofs.verify_inclusion(0, claimed, LEAVES[0], path(0, LEAVES[:real]), ROOTS[real])
    with pytest.raises(ProofError, match="too"):
        proofs.verify_consistency(1, claimed, ROOTS[1], ROOTS[real], proof(1, LEAVES[:real]))


def alterations(made: list[bytes], data: st.DataObject) -> list[list[bytes]]:
    """A hash too many, and where there are hashes: one less, one changed."""
    altered = [[*made, LEAVES[0]], [LEAVES[0], *made]]
    if made:
        at = data.draw(st.integers(0, len(made) - 1))
        altered += [made[:at] + made[at + 1 :], [*made[:at], other(made[at]), *made[at + 1 :]]]
    return altered


def other(hash: bytes) -> bytes:
    return bytes([hash[0] ^ 1]) + hash[1:]
