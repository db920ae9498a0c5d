"""The Merkle tree of RFC 6962 (section 2.1), extended batch by batch.

The stored form equals the served form (C2SP tlog-tiles): a tile of level L contains 256 hashes, each covering 256^L
leaves. Full tiles are immutable and leave as `Tile`. Incomplete tiles form the `Edge`, at most 255 hashes per level.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import NamedTuple

HASH_SIZE = 32
TILE_WIDTH = 256
EMPTY_ROOT = sha256(b"").digest()


class Tile(NamedTuple):
    """A full tile. `number` counts the tiles of a level; `hashes` are 256 joined hashes of 32 bytes."""

    level: int
    number: int
    hashes: bytes


def leaf_hash(entry: bytes) -> bytes:
    """RFC 6962: SHA-256(0x00 || entry)."""
    return sha256(b"\0" + entry).digest()


def leaf_hashes(entries: Iterable[bytes]) -> list[bytes]:
    """The `leaf_hash` of each entry, without a call for each."""
    return [sha256(b"\0" + entry).digest() for entry in entries]


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 6962: SHA-256(0x01 || left || right)."""
    return sha256(b"\1" + left + right).digest()


class Edge:
    """The right edge of a tree of `size` leaves: the hashes of the incomplete tile of each level."""

    def __init__(self, size: int, packed: bytes = b"") -> None:
        """`packed` is the result of `pack` for that size. Raises `ValueError` when the two disagree."""
        self.size = size
        self._levels: list[list[bytes]] = []
        start = 0
        remaining = size
        while remaining:
            stop = start + remaining % TILE_WIDTH * HASH_SIZE
            if stop > len(packed):
                raise ValueError("the edge is too short for the tree's size")
            self._levels.append([packed[at : at + HASH_SIZE] for at in range(start, stop, HASH_SIZE)])
            start = stop
            remaining //= TILE_WIDTH
        if start != len(packed):
            raise ValueError("the edge is too long for the tree's size")

    def pack(self) -> bytes:
        """All hashes, lowest level first. The size in base 256 gives the number of hashes per level."""
        return b"".join(map(b"".join, self._levels))

    def hashes(self, level: int) -> list[bytes]:
        """The hashes of the incomplete tile of `level`."""
        return self._levels[level] if level < len(self._levels) else []

    def extend(self, leaf_hashes: Sequence[bytes]) -> list[Tile]:
        """Append leaves and return the tiles that became full, lowest level first."""
        full: list[Tile] = []
        hashes: Sequence[bytes] = leaf_hashes
        below = self.size
        self.size += len(leaf_hashes)
        level = 0
        while hashes:
            if level == len(self._levels):
                self._levels.append([])
            pending = self._levels[level]
            index = below // TILE_WIDTH
            pending.extend(hashes)
            whole = len(pending) - len(pending) % TILE_WIDTH
            tiles = [pending[at : at + TILE_WIDTH] for at in range(0, whole, TILE_WIDTH)]
            self._levels[level] = pending[whole:]
            full.extend(Tile(level, index + at, b"".join(tile)) for at, tile in enumerate(tiles))
            hashes = [perfect_root(tile) for tile in tiles]
            below = index
            level += 1
        return full

    def root(self, right: bytes | None = None) -> bytes:
        """The root hash: the perfect subtrees of the edge, folded from the right.

        `right` is the root of a smaller tree to the right of this one.
        """
        root = right
        for hashes in self._levels:
            stop = len(hashes)
            while stop:
                width = stop & -stop
                subtree = perfect_root(hashes[stop - width : stop])
                root = subtree if root is None else node_hash(subtree, root)
                stop -= width
        return EMPTY_ROOT if root is None else root


def perfect_root(hashes: list[bytes]) -> bytes:
    """The root of 1, 2, 4, ... hashes."""
    while len(hashes) > 1:
        pairs = zip(hashes[::2], hashes[1::2], strict=True)
        hashes = [sha256(b"\1" + left + right).digest() for left, right in pairs]
    return hashes[0]
