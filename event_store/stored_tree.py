"""The stored tree: tiles of any width, and the hashes of complete subtrees for proofs."""

from __future__ import annotations

from collections.abc import Sequence

from domain.errors import LogInconsistentError
from event_store.database import Connection
from event_store.merkle import HASH_SIZE, TILE_WIDTH, Edge, perfect_root
from event_store.statements import load

_SQL = load(__package__, "stored_tree.sql")

_BITS = 8
"""A tile covers eight levels of the tree: 256 = 2^8."""


def read_state(connection: Connection) -> tuple[int, bytes, bytes]:
    """The log's size, root hash and packed edge, as they are stored. Raises `LogInconsistentError` without a row."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["state"])
        row = cursor.fetchone()
    if row is None:
        raise LogInconsistentError("the log has no state row: restore it from a backup")
    size, root, edge = row
    return size, bytes(root), bytes(edge)


class StoredTree:
    """The tree of the log in one transaction. Tiles are cached, so that proofs share them."""

    def __init__(self, connection: Connection) -> None:
        """Raises `LogInconsistentError` when the state row contradicts itself."""
        self._connection = connection
        self.size, self.root, edge = read_state(connection)
        try:
            self.edge = Edge(self.size, edge)
        except ValueError as exc:
            raise LogInconsistentError(f"the tree's edge does not fit its size {self.size}: {exc}") from exc
        self._tiles: dict[tuple[int, int], bytes] = {}
        self._subtrees: dict[tuple[int, int, int], bytes] = {}

    def tile(self, level: int, index: int, width: int = TILE_WIDTH) -> bytes | None:
        """The first `width` hashes of a tile (C2SP tlog-tiles); None beyond the end of the log."""
        have = (self.size >> (_BITS * level)) - index * TILE_WIDTH
        if have < width:
            return None
        self._fetch([(level, index)])
        return self._tiles[level, index][: width * HASH_SIZE]

    def nodes(self, wanted: Sequence[tuple[int, int]]) -> list[bytes]:
        """The hashes of complete subtrees: `(k, i)` covers the leaves from i * 2^k to (i + 1) * 2^k, exclusive."""
        places = [
            (level // _BITS, index << level % _BITS, 1 << level % _BITS) for level, index in wanted
        ]  # the tile level, the index of the first hash within the level, the number of hashes
        self._fetch([(level, first // TILE_WIDTH) for level, first, _ in places])
        for place in places:
            if place not in self._subtrees:  # neighbouring proofs share most of them
                self._subtrees[place] = self._subtree(*place)
        return [self._subtrees[place] for place in places]

    def _subtree(self, level: int, first: int, count: int) -> bytes:
        start = first % TILE_WIDTH * HASH_SIZE
        hashes = self._tiles[level, first // TILE_WIDTH][start : start + count * HASH_SIZE]
        if len(hashes) != count * HASH_SIZE:
            raise LogInconsistentError(
                f"tile {level}/{first // TILE_WIDTH} is too short for the size of the log"
            )
        return perfect_root([hashes[at : at + HASH_SIZE] for at in range(0, len(hashes), HASH_SIZE)])

    def _fetch(self, places: Sequence[tuple[int, int]]) -> None:
        missing = {place for place in places if place not in self._tiles}
        for level, index in list(missing):
            if index == (self.size >> (_BITS * level)) // TILE_WIDTH:
                self._tiles[level, index] = b"".join(self.edge.hashes(level))
                missing.discard((level, index))
        if not missing:
            return
        levels, indexes = zip(*missing, strict=True)
        with self._connection.cursor() as cursor:
            cursor.execute(_SQL["tiles"], {"levels": list(levels), "indexes": list(indexes)})
            self._tiles |= {
                (level, index): bytes(hashes)
                for level, index, hashes in cursor.fetchall()
                if len(hashes) == TILE_WIDTH * HASH_SIZE
            }
        lost = sorted(missing - self._tiles.keys())
        if lost:
            raise LogInconsistentError(f"tile {lost[0][0]}/{lost[0][1]} of the log is missing or truncated")
