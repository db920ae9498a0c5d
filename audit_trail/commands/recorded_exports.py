"""The access records of an export: its start, the disclosed patients before their rows are written, and its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from audit_trail.commands.access_record import CommandRecord
from queries.export.batches import ExportRequest, Exports, Opened, Snapshot
from queries.export.disclosed_patients import telling


class RecordedExports:
    """`Exports` of `queries.export.batches` that publish access records."""

    def __init__(self, exports: Exports, record: CommandRecord) -> None:
        self._exports = exports
        self._record = record

    @contextmanager
    def open(self, request: ExportRequest, saved: Snapshot | None = None) -> Iterator[Opened]:
        """Open an export as `Exports` does. Raises the errors of `CommandRecord` too."""
        with self._exports.open(request, saved) as opened:
            self._record.started()
            disclosed = telling(opened, self._record.delivering)
            try:
                yield opened
            finally:
                self._record.ended(None if disclosed.finished else "cut off")
