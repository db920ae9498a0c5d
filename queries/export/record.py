"""The access record of an export: that it starts, which patients it discloses, how it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, Self

from cachetools import LRUCache

from queries.export.rows import RowBatch

REMEMBERED = 10_000
"""Patients that are not recorded again. An export of more records some of them twice, and needs no more memory."""


class ExportRecord(Protocol):
    """Writes the access record of one export.

    Each method returns once the event is durable; an exception ends the export.
    """

    def started(self) -> None:
        """The export starts. No row has been read."""

    def delivered(self, rows: int, patients: Sequence[str]) -> None:
        """The next `rows` rows disclose `patients`. No byte of these rows has left."""

    def ended(self, rows: int, reason: str | None) -> None:
        """The export is over after `rows` rows. `reason` says why it is incomplete."""


class RecordedExport:
    """Records one export. Use it with `with`: the export starts and ends with the block."""

    def __init__(self, record: ExportRecord) -> None:
        self._record = record
        self._rows = 0
        self._complete = False

    def __enter__(self) -> Self:
        self._record.started()
        return self

    def __exit__(self, *_: object) -> None:
        # Also when the client has gone: the rows that it received were disclosed.
        self._record.ended(self._rows, None if self._complete else "cut off")

    def batches(
        self, batches: Iterable[RowBatch], patients: Callable[[Sequence[Any]], list[str]]
    ) -> Iterator[RowBatch]:
        """Pass batches on, each after its disclosed patients are recorded. `patients` gives those of some rows."""
        recent = RecentPatients()
        for batch in batches:
            self._rows += len(batch.rows)
            disclosed = recent.add(patients(batch.rows))
            if disclosed:
                self._record.delivered(len(batch.rows), disclosed)
            yield batch
        self._complete = True


class RecentPatients:
    """The `most` patients that were seen last."""

    def __init__(self, most: int = REMEMBERED) -> None:
        self._seen: LRUCache[str, bool] = LRUCache(most)

    def add(self, ids: Iterable[str]) -> list[str]:
        """Add `ids`. Returns those that were not there, each once, in their order."""
        new = []
        for id in ids:
            if not self._seen.get(id):
                self._seen[id] = True
                new.append(id)
        return new
