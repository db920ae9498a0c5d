"""The access record of an export: that it starts, which patients it discloses, how it ended."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, Protocol, Self

from queries.export.disclosed_patients import RecentPatients
from queries.export.rows import Batch


class ExportRecord(Protocol):
    """Keeps the access record of one export. Each method returns once it is kept; an exception ends the export."""

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
        self, batches: Iterable[Batch], patients: Callable[[Any], Iterator[str]]
    ) -> Generator[Batch, None, None]:
        """Pass batches on, each after its disclosed patients are recorded. `patients` gives those of a row."""
        recent = RecentPatients()
        for batch in batches:
            self._rows += len(batch.rows)
            disclosed = recent.add(id for row in batch.rows for id in patients(row))
            if disclosed:
                self._record.delivered(len(batch.rows), disclosed)
            yield batch
        self._complete = True
