"""Tree heads and proofs, as API answers carry them. The terms are those of RFC 9162 and C2SP tlog-checkpoint."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct


class SignedTreeHead(Struct, frozen=True, kw_only=True):
    """The signed root hash of a tree of `size` entries. `checkpoint` is the C2SP signed note with its cosignatures.

    `cosigned_by` contains the public keys (vkeys) of the witnesses that cosigned it.
    """

    origin: str
    size: int
    root: bytes
    signed_at: datetime
    checkpoint: str
    cosigned_by: tuple[str, ...] = ()


class InclusionProof(Struct, frozen=True, kw_only=True):
    """Proves that the entry at `leaf_index` is in the tree of `tree_size` entries (RFC 9162, section 2.1.3).

    `hashes` go from the leaf's sibling up. `entry` is the leaf entry; its SHA-256 with a leading 0x00 is `leaf_hash`.
    """

    leaf_index: int
    tree_size: int
    leaf_hash: bytes
    hashes: tuple[bytes, ...]
    root: bytes
    entry: bytes


class ConsistencyProof(Struct, frozen=True, kw_only=True):
    """Proves that the tree of `second_size` entries extends that of `first_size` entries (RFC 9162, section 2.1.4)."""

    first_size: int
    second_size: int
    first_root: bytes
    second_root: bytes
    hashes: tuple[bytes, ...]
