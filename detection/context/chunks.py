"""Rows of a table in chunks, so that versions of a table share what did not change.

A chunk ends after a row whose checksum says so. So a row that is added or changed changes its own chunk, and no other.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from domain.errors import LogInconsistentError

_MEAN_ROWS = 256
_MAX_ROWS = 2048
_MAX_BYTES = 4 << 20
_LARGEST = 8 << 20
"""Bytes of the rows of a chunk that is read: one row more than `_MAX_BYTES`, and no more."""


class Chunk(NamedTuple):
    """A chunk: SHA-256 of its rows, each with a line break after it; these, compressed; and their number."""

    digest: bytes
    content: bytes
    rows: int


class Digest:
    """SHA-256 and number of the rows of a version."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.rows = 0

    def counted(self, rows: Iterable[bytes]) -> Iterator[bytes]:
        """The rows, as they are read."""
        for row in rows:
            self._hash.update(row)
            self._hash.update(b"\n")
            self.rows += 1
            yield row

    @property
    def hex(self) -> str:
        """The digest of the rows so far."""
        return self._hash.hexdigest()


def in_chunks(rows: Iterable[bytes]) -> Iterator[Chunk]:
    """The chunks of rows in their canonical order."""
    part: list[bytes] = []
    size = 0
    for row in rows:
        part.append(row)
        size += len(row) + 1
        if zlib.crc32(row) % _MEAN_ROWS == 0 or len(part) >= _MAX_ROWS or size >= _MAX_BYTES:
            yield _chunk(part)
            part, size = [], 0
    if part:
        yield _chunk(part)


def rows_of(digest: bytes, content: bytes) -> list[bytes]:
    """The rows of a stored chunk. Raises `LogInconsistentError` when they are not those of its digest."""
    try:
        text = zlib.decompressobj().decompress(content, _LARGEST)
    except zlib.error:
        text = b""
    if hashlib.sha256(text).digest() != digest:
        raise LogInconsistentError(
            "a stored chunk of context is not the one that was loaded: load the table again, and rebuild detection"
        )
    return text.splitlines()


def _chunk(rows: list[bytes]) -> Chunk:
    text = b"".join(row + b"\n" for row in rows)
    return Chunk(hashlib.sha256(text).digest(), zlib.compress(text), len(rows))
