"""Tiles and entry bundles of C2SP tlog-tiles: paths and the encoding of entries."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from domain.errors import ProofError
from event_store.merkle import TILE_WIDTH
from event_store.tlog.encoding import MAX_NUMBER

MAX_LEVEL = 63
MAX_ENTRY = 2**16 - 1
# Longer than any tile path. It bounds the input of the regular expression.
MAX_PATH = 100

_PATH = re.compile(
    r"tile/(?P<level>0|[1-9][0-9]?|entries)"
    r"/(?P<index>(?:x[0-9]{3}/)*[0-9]{3})"
    r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class TilePath:
    """A parsed path. `level` is None for an entry bundle. A `width` below 256 means a partial tile."""

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
    """Parse a path of `tile_path` or `entries_path`. Raises `ProofError` for any other: a tile has one path."""
    match = _PATH.fullmatch(path) if len(path) <= MAX_PATH else None
    if match is None:
        raise ProofError("not the path of a tile")
    level = None if match["level"] == "entries" else int(match["level"])
    index = int(match["index"].replace("x", "").replace("/", ""))
    width = int(match["width"] or TILE_WIDTH)
    if match["width"] and width >= TILE_WIDTH:
        raise ProofError(f"a partial tile has 1 to {TILE_WIDTH - 1} hashes")
    written = entries_path(index, width) if level is None else tile_path(level, index, width)
    if written != path:
        raise ProofError("not the path of a tile: its index has leading zeros")
    return TilePath(level, index, width)


def width_in_tree(level: int, index: int, size: int) -> int:
    """The number of hashes (or entries, level 0) of a tile in the tree of `size`: 256 is full, 0 does not exist."""
    # 256^7 is the largest power of 256 within the possible sizes, so higher levels are empty.
    hashes = size >> min(8 * level, 64)
    return max(0, min(TILE_WIDTH, hashes - index * TILE_WIDTH))


def encode_entries(entries: Sequence[bytes]) -> bytes:
    """Encode an entry bundle: each entry after its length, two bytes, big-endian. Up to 256 entries of 65,535 bytes."""
    if len(entries) > TILE_WIDTH:
        raise ProofError(f"a bundle has at most {TILE_WIDTH} entries")
    if any(len(entry) > MAX_ENTRY for entry in entries):
        raise ProofError(f"an entry is {MAX_ENTRY} bytes long at most")
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def decode_entries(data: bytes) -> list[bytes]:
    """Decode an entry bundle. Raises `ProofError` when it is truncated or has more than 256 entries."""
    entries = []
    at = 0
    while at < len(data):
        start = at + 2
        at = start + int.from_bytes(data[at:start], "big")
        if at > len(data):
            raise ProofError("the entry bundle is truncated")
        entries.append(data[start:at])
        if len(entries) > TILE_WIDTH:
            raise ProofError(f"a bundle has at most {TILE_WIDTH} entries")
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
