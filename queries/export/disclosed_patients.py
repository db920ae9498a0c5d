"""Which patients the rows of an export disclose, and which of them the access record does not have yet."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from projections.tables import Kind
from queries.export.rows import ExportColumn

REMEMBERED = 10_000
"""Patients that are not recorded again. An export of more records some of them twice, and needs no more memory."""
PATIENT_COLUMNS = frozenset({"patient_id", "patient_ids", "patient", "patients"})
"""A table's columns that name patients, whoever wrote the projection."""


class RecentPatients:
    """The `most` patients that were seen last."""

    def __init__(self, most: int = REMEMBERED) -> None:
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._most = most

    def add(self, ids: Iterable[str]) -> list[str]:
        """Add `ids`. Returns those that were not there, each once, in their order."""
        new = []
        for id in ids:
            if id in self._seen:
                self._seen.move_to_end(id)
                continue
            self._seen[id] = None
            new.append(id)
            if len(self._seen) > self._most:
                self._seen.popitem(last=False)
        return new


def patients_in_columns(columns: Sequence[ExportColumn]) -> Callable[[Sequence[Any]], Iterator[str]]:
    """A function that gives the patients of a row with these columns."""
    named = [(at, each.kind) for at, each in enumerate(columns) if each.name in PATIENT_COLUMNS]
    ids = [at for at, kind in named if kind is Kind.TEXT]
    lists = [at for at, kind in named if kind is Kind.TEXTS]

    def patients(row: Sequence[Any]) -> Iterator[str]:
        for at in ids:
            if row[at]:
                yield row[at]
        for at in lists:
            yield from filter(None, row[at] or ())

    return patients
