"""Tiles and entry bundles as C2SP tlog-tiles serves them: their paths and the encoding of the entries."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from domain.errors import ProofError
from event_store.merkle import TILE_WIDTH
from event_store.tlog.encoding import MAX_NUMBER

MAX_LEVEL = 63
MAX_ENTRY = 2**16 - 1
# Longer than the path of any tile: it bounds what the expression looks at.
MAX_PATH = 100

_PATH = re.compile(
    r"tile/(?P<level>0|[1-9][0-9]?|entries)"
    r"/(?P<index>(?:x[0-9]{3}/)*[0-9]{3})"
    r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class TilePath:
    """What a path names. `level` is None for an entry bundle; a `width` of 256 is a full tile, less a partial one."""

    level: int | None
    index: int
    width: int


def tile_path(level: int, index: int, width: int = TILE_WIDTH) -> str:
    """For example tile/0/x001/x234/067 or tile/1/000.p/7."""
    if not 0 <= level <= MAX_LEVEL:
        raise ProofError(f"a tile's level is 0 to {MAX_LEVEL}")
    return f"tile/{level}/{_index(index)}{_suffix(width)}"


def entries_path(index: int, width: int = TILE_WIDTH) -> str:
    """For example tile/entries/x001/x234/067 or tile/entries/000.p/7."""
    return f"tile/entries/{_index(index)}{_suffix(width)}"


def parse_path(path: str) -> TilePath:
    """What `tile_path` or `entries_path` wrote. Raises `ProofError` for everything else: a tile has one path."""
    match = _PATH.fullmatch(path) if len(path) <= MAX_PATH else None
    if match is None:
        raise ProofError("this is no path of a tile")
    level = None if match["level"] == "entries" else int(match["level"])
    index = int(match["index"].replace("x", "").replace("/", ""))
    width = int(match["width"] or TILE_WIDTH)
    if match["width"] and width >= TILE_WIDTH:
        raise ProofError(f"a partial tile has 1 to {TILE_WIDTH - 1} hashes")
    written = entries_path(index, width) if level is None else tile_path(level, index, width)
    if written != path:
        raise ProofError("this is no path of a tile: its index has leading zeros")
    return TilePath(level, index, width)


def width_in_tree(level: int, index: int, size: int) -> int:
    """How many hashes (or entries, level 0) the tile has in the tree of `size`: 256 full, less partial, 0 not there."""
    # 256^7 is the last power of 256 that a size can reach, so larger levels are empty.
    hashes = size >> min(8 * level, 64)
    return max(0, min(TILE_WIDTH, hashes - index * TILE_WIDTH))


def encode_entries(entries: Sequence[bytes]) -> bytes:
    """An entry bundle: each entry behind its length, two bytes, big-endian. Up to 256 entries of 65,535 bytes."""
    if len(entries) > TILE_WIDTH:
        raise ProofError(f"a bundle has {TILE_WIDTH} entries at most")
    if any(len(entry) > MAX_ENTRY for entry in entries):
        raise ProofError(f"an entry is {MAX_ENTRY} bytes long at most")
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def decode_entries(data: bytes) -> list[bytes]:
    """The entries of a bundle. Raises `ProofError` when it is cut short or has more than 256 of them."""
    entries = []
    at = 0
    while at < len(data):
        start = at + 2
        at = start + int.from_bytes(data[at:start], "big")
        if at > len(data):
            raise ProofError("the entry bundle is cut short")
        entries.append(data[start:at])
        if len(entries) > TILE_WIDTH:
            raise ProofError(f"a bundle has {TILE_WIDTH} entries at most")
    return entries


def _index(index: int) -> str:
    if not 0 <= index <= MAX_NUMBER:
        raise ProofError("a tile's index is a number from 0 to 2^63 - 1")
    groups = [f"{index % 1000:03}"]
    while index := index // 1000:
        groups.append(f"x{index % 1000:03}")
    return "/".join(reversed(groups))


def _suffix(width: int) -> str:
    if not 0 < width <= TILE_WIDTH:
        raise ProofError(f"a tile has 1 to {TILE_WIDTH} hashes")
    return "" if width == TILE_WIDTH else f".p/{width}"
