"""Combine the chunks: the root of every head, the upper tiles, the edge; and interpret the differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from event_store.database import Connection
from event_store.merkle import TILE_WIDTH, Edge, Tile
from event_store.stored_tree import StoredTree
from event_store.verify.chunks import CHUNK, Head, Result, Roots, compare_tile
from event_store.verify.findings import Finding

_LEVELS = 2
"""A chunk has two levels of tiles."""


class _CheckedHead(NamedTuple):
    head: Head
    by_rows: bool
    by_tiles: bool


class Tree:
    """The tree over the chunks. `add` them in order."""

    def __init__(self, below: int = 0, packed: bytes = b"") -> None:
        """`below` chunks are not read again; `packed` is the edge of their tree: see `edge_below`."""
        self._rows = Edge(below, packed)
        self._stored = Edge(below, packed)
        self._first = below * CHUNK
        self._last: Roots | None = None
        self._low = (b"", b"")
        self._checked_heads: list[_CheckedHead] = []
        self._mismatches: list[int] = []
        self._findings: list[Finding] = []
        self._tiles: list[Tile] = []
        self._stored_tiles: list[Tile] = []

    def add(self, result: Result) -> None:
        """Add the next chunk."""
        whole = result.whole
        self._checked_heads.extend(
            _CheckedHead(
                head,
                self._rows.root(each.rows) == head.root,
                self._stored.root(each.stored) == head.root,
            )
            for head, each in zip(result.heads, result.roots, strict=True)
        )
        self._mismatches.extend(result.mismatches)
        self._findings.extend(result.findings)
        if result.until - result.first == CHUNK:
            self._tiles.extend(self._rows.extend([whole.rows]))
            self._stored_tiles.extend(self._stored.extend([whole.stored]))
        else:
            self._last = whole
            self._low = result.edge

    @property
    def root(self) -> bytes:
        """The root over all rows."""
        return self._rows.root(None if self._last is None else self._last.rows)

    def findings(self) -> list[Finding]:
        """The findings of the chunks, and the heads that do not match the rows."""
        good = [each.head.size for each in self._checked_heads if each.by_rows]
        good_tiles = [each.head.size for each in self._checked_heads if each.by_tiles]
        return [
            *self._findings,
            *(_mismatch(position, good, good_tiles) for position in self._mismatches),
            *self._bad_heads(good),
        ]

    def _bad_heads(self, good: Sequence[int]) -> list[Finding]:
        bad = [each.head for each in self._checked_heads if not each.by_rows]
        if not bad:
            return []
        head = min(bad)
        sure = max((size for size in good if size < head.size), default=self._first)
        if any(sure <= position < head.size for position in self._mismatches):
            return []  # the mismatch gives the exact position
        if head.size == 0:
            return [Finding(None, f"the head of size 0{head.source} is not that of the empty log")]
        span = "here" if head.size - 1 == sure else f"from here to position {head.size - 1}"
        others = f"; {len(bad)} heads in total do not match" if len(bad) > 1 else ""
        return [
            Finding(
                sure,
                f"{span} the log is not what the signed head of size {head.size}{head.source} says{others}",
            )
        ]

    def compare_tiles(self, connection: Connection) -> list[Finding]:
        """Compare the stored tiles above the chunks."""
        found = []
        for ours, theirs in zip(self._tiles, self._stored_tiles, strict=True):
            fitting = [ours.hashes, theirs.hashes]
            found += compare_tile(connection, ours.level + _LEVELS, ours.number, fitting)
        return found

    def compare_state(self, size: int, root: bytes, edge: bytes) -> list[Finding]:
        """Compare the log's state row as of the read size. Altered rows are reported elsewhere."""
        found = []
        stored = self._stored.root(None if self._last is None else self._last.stored)
        if root not in {self.root, stored}:
            found.append(Finding(None, f"the log's state has another root hash than its {size} events"))
        if self.root == stored and edge != b"".join(self._low) + self._rows.pack():
            found.append(Finding(None, f"the log's state has another edge than its {size} events"))
        return found


def _mismatch(position: int, good: Sequence[int], good_tiles: Sequence[int]) -> Finding:
    """The finding for a row that differs from its stored leaf hash, and which of them signed heads confirm."""
    tile, at = f"0/{position // TILE_WIDTH}", position % TILE_WIDTH
    if any(size > position for size in good):
        return Finding(position, f"hash {at} of tile {tile} was replaced; the signed heads confirm the event")
    if any(size > position for size in good_tiles):
        return Finding(position, "the event was altered: it is not what was sealed and signed")
    return Finding(position, f"the event and tile {tile} differ, and no signed head confirms either")


def edge_below(connection: Connection, chunks: int) -> bytes:
    """The edge of the tree of the first `chunks` chunks, from stored tiles, which later signed heads confirm.

    Raises `LogInconsistentError` when a tile is missing.
    """
    stored = StoredTree(connection)
    packed = b""
    level = 0
    while count := chunks // TILE_WIDTH**level:
        if width := count % TILE_WIDTH:
            packed += stored.tile(level + _LEVELS, count // TILE_WIDTH, width) or b""
        level += 1
    return packed
