"""Signed tree heads and Merkle proofs in the schema. Hashes are base64 strings, as in the C2SP texts."""

from __future__ import annotations

from base64 import b64encode
from datetime import datetime

from domain import tree_head as facts
from graphql_api.types.descriptions import described, documented
from graphql_api.types.scalars import Long

_HASHES = "The hashes of the proof, each 32 bytes in standard base64 (RFC 4648 section 4), "


@documented
class TreeHead:
    """The signed root of the log's Merkle tree (RFC 6962), with which a copy of any event is checked."""

    origin: str = described("The log's name, the first line of the checkpoint.")
    size: Long = described("How many events the tree has: positions from 0 to size - 1.")
    root_hash: str = described("The root hash, 32 bytes in standard base64.")
    signed_at: datetime = described("When it was signed, by the trail's clock.")
    checkpoint: str = described("The signed note (C2SP tlog-checkpoint), cosignatures included. Verify this.")
    cosigned_by: list[str] = described(
        "The public keys (C2SP vkey) of the witnesses that have signed it too."
    )


@documented
class InclusionProof:
    """A proof that an event is in the tree of `treeSize` events (RFC 9162, section 2.1.3)."""

    leaf_index: Long = described("The event's position.")
    tree_size: Long = described("The size of the tree that the proof leads to.")
    leaf_hash: str = described("SHA-256 of 0x00 and the entry, in standard base64.")
    hashes: list[str] = described(_HASHES + "from the leaf's sibling up.")
    root_hash: str = described("The root hash of the tree of `treeSize`, in standard base64.")
    entry: str = described("The leaf entry, ASCII text of eight lines that holds the stored body's SHA-256.")


@documented
class ConsistencyProof:
    """A proof that the tree of `toSize` events begins with the tree of `fromSize` events (RFC 9162, section 2.1.4)."""

    from_size: Long = described("The size of the smaller tree.")
    to_size: Long = described("The size of the larger tree.")
    from_root_hash: str = described("The root hash of the smaller tree, in standard base64.")
    to_root_hash: str = described("The root hash of the larger tree, in standard base64.")
    hashes: list[str] = described(_HASHES + "in the order of the RFC.")


def head_from(head: facts.SignedTreeHead) -> TreeHead:
    """A signed head as a type of the schema."""
    return TreeHead(
        origin=head.origin,
        size=Long(head.size),
        root_hash=_base64(head.root),
        signed_at=head.signed_at,
        checkpoint=head.checkpoint,
        cosigned_by=list(head.cosigned_by),
    )


def inclusion_from(proof: facts.InclusionProof) -> InclusionProof:
    """An inclusion proof as a type of the schema."""
    return InclusionProof(
        leaf_index=Long(proof.leaf_index),
        tree_size=Long(proof.tree_size),
        leaf_hash=_base64(proof.leaf_hash),
        hashes=[_base64(hash) for hash in proof.hashes],
        root_hash=_base64(proof.root),
        entry=proof.entry.decode("ascii"),
    )


def consistency_from(proof: facts.ConsistencyProof) -> ConsistencyProof:
    """A consistency proof as a type of the schema."""
    return ConsistencyProof(
        from_size=Long(proof.first_size),
        to_size=Long(proof.second_size),
        from_root_hash=_base64(proof.first_root),
        to_root_hash=_base64(proof.second_root),
        hashes=[_base64(hash) for hash in proof.hashes],
    )


def _base64(data: bytes) -> str:
    return b64encode(data).decode("ascii")
