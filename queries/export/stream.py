"""An export as a stream of bytes, for HTTP and for pipes."""

from __future__ import annotations

import hashlib
from collections.abc import Generator

import msgspec

from queries.export.batches import Format, Opened
from queries.export.manifest import ExportFile, manifest_of, now
from queries.export.parquet import ParquetStream


def stream(opened: Opened, *, manifest: bool = False) -> Generator[bytes, None, None]:
    """The bytes of an export in pieces of some MB at most, none of them empty.

    `manifest`: after the rows one more line ``{"manifest": ...}``, with the count and the SHA-256 of all bytes before
    it. A reader who finds it has everything. Only for NDJSON.
    """
    created_at = now()
    digest = hashlib.sha256()
    rows = size = 0
    if opened.request.format is Format.PARQUET:
        yield from _parquet(opened)
        return
    head = opened.head()
    if head:
        yield head
    for batch in opened.source.batches(None):
        data = opened.text(batch.rows)
        digest.update(data)
        rows += len(batch.rows)
        size += len(data)
        yield data
    if manifest:
        lines = ExportFile(name="", bytes=size, sha256=digest.hexdigest())
        yield msgspec.json.encode({"manifest": manifest_of(opened, rows, [lines], created_at)}) + b"\n"


def _parquet(opened: Opened) -> Generator[bytes, None, None]:
    file = ParquetStream(opened.source.columns)
    for batch in opened.source.batches(None):
        data = file.add(opened.source.values(batch.rows))
        if data:
            yield data
    yield file.end()
