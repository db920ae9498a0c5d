"""The sink for HTTP and pipes: an export as a stream of bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator

import msgspec

from queries.export.manifest import ExportFile, manifest_of, now
from queries.export.pipeline import Export


def stream(
    export: Export, *, manifest: bool = False, progress: Callable[[int], None] = lambda _: None
) -> Generator[bytes, None, None]:
    """The bytes of an export in pieces of some MB at most, none of them empty.

    `progress` gets the number of rows so far, before their bytes are yielded.

    `manifest`, for NDJSON: one more line ``{"manifest": ...}`` follows the rows, with their number and the SHA-256 of
    all bytes before it. Only a complete export has this line.
    """
    created_at = now()
    encoder = export.encoder()
    digest = hashlib.sha256()
    rows = size = 0
    if header := encoder.header():
        yield header
    for batch in export.batches():
        data = encoder.encode(batch.rows)
        rows += len(batch.rows)
        progress(rows)
        if manifest:
            digest.update(data)
            size += len(data)
        if data:
            yield data
    if end := encoder.end():
        yield end
    if manifest:
        lines = ExportFile(name="", bytes=size, sha256=digest.hexdigest())
        yield msgspec.json.encode({"manifest": manifest_of(export, rows, [lines], created_at)}) + b"\n"
