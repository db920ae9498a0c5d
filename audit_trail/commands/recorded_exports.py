"""An export of a command, put on record as it goes: that it begins, whom it tells of before it does, how it ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from audit_trail.commands.access_record import CommandRecord
from queries.export.batches import ExportRequest, Exports, Opened, Snapshot
from queries.export.disclosed_patients import telling


class RecordedExports:
    """See `queries.export.batches.Exports`."""

    def __init__(self, exports: Exports, record: CommandRecord) -> None:
        self._exports = exports
        self._record = record

    @contextmanager
    def open(self, request: ExportRequest, saved: Snapshot | None = None) -> Iterator[Opened]:
        """See `Exports`. Raises what the record raises when it can't be kept."""
        with self._exports.open(request, saved) as opened:
            self._record.started()
            telling_of = telling(opened, self._record.told)
            try:
                yield opened
            finally:
                self._record.ended(None if telling_of.finished else "cut off")
