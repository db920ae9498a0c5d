"""Whom an export tells of, said before it does: each batch's patients, when they were not said lately."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any

from cachetools import LRUCache
from msgspec.structs import replace

from domain.read_audit.truncation import recorded_value
from projections.tables import Kind
from queries.export.batches import ExportRequest, Opened, Source
from queries.export.columns import Batch, ExportColumn
from queries.export.manifest import exported, filter_of

REMEMBERED = 10_000
"""Patients that are not said again. An export of more says some of them twice, and takes no more memory."""
PATIENT_COLUMNS = frozenset({"patient_id", "patient_ids", "patient", "patients"})
"""A table's columns that name patients, whoever wrote the projection."""

Told = Callable[[int, list[str]], None]
"""Is told of rows that come next, and of the patients in them that are new. What it raises ends the export."""


def asked_of_export(request: ExportRequest) -> dict[str, Any]:
    """What was asked, for the record: no name that a column was asked for."""
    where = tuple((name, str(recorded_value(name, value))) for name, value in request.where)
    return {
        "exported": exported(request),
        "filter": filter_of(replace(request, where=where)),
        "format": request.format.value,
    }


def telling(opened: Opened, told: Told) -> Telling:
    """Have `told` know of every batch of `opened` before the batch goes on. It is called in the reading thread."""
    names = _of_events if opened.request.table is None else _of_rows(opened.source.columns)
    source = Telling(opened.source, names, told)
    opened.source = source
    return source


class Newly:
    """Which ids were not seen lately."""

    def __init__(self, most: int = REMEMBERED) -> None:
        self._seen: LRUCache[str, bool] = LRUCache(most)

    def of(self, ids: Iterable[str]) -> list[str]:
        """The new ones, each once, in their order."""
        found = []
        for id in ids:
            if not self._seen.get(id):
                self._seen[id] = True
                found.append(id)
        return found


class Telling:
    """See `queries.export.batches.Source`. `finished`: the last batch has gone on."""

    finished = False

    def __init__(self, source: Source, names: Callable[[Any], Iterator[str]], told: Told) -> None:
        self._source = source
        self._names = names
        self._told = told

    @property
    def columns(self) -> tuple[ExportColumn, ...]:
        """See `Source`."""
        return self._source.columns

    def batches(self, beyond: tuple[Any, ...] | None) -> Generator[Batch, None, None]:
        """See `Source`. Raises what is raised by who is told."""
        newly = Newly()
        for batch in self._source.batches(beyond):
            self._told(len(batch.rows), newly.of(id for row in batch.rows for id in self._names(row)))
            yield batch
        self.finished = True

    def lines(self, rows: Sequence[Any]) -> bytes:
        """See `Source`."""
        return self._source.lines(rows)

    def values(self, rows: Sequence[Any]) -> list[tuple[Any, ...]]:
        """See `Source`."""
        return self._source.values(rows)


def _of_events(row: Any) -> Iterator[str]:
    return (patient.id for patient in row.event.patients)


def _of_rows(columns: Sequence[ExportColumn]) -> Callable[[Any], Iterator[str]]:
    ones = [at for at, each in enumerate(columns) if each.name in PATIENT_COLUMNS and each.kind is Kind.TEXT]
    lists = [
        at for at, each in enumerate(columns) if each.name in PATIENT_COLUMNS and each.kind is Kind.TEXTS
    ]

    def names(row: Any) -> Iterator[str]:
        for at in ones:
            if row[at]:
                yield row[at]
        for at in lists:
            yield from filter(None, row[at] or ())

    return names
