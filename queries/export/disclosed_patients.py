"""Which patients the rows of a table disclose, by the names of its columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from projections.tables import Kind
from queries.export.rows import ExportColumn

PATIENT_COLUMNS = frozenset({"patient_id", "patient_ids", "patient", "patients"})
"""A table's columns that name patients, whoever wrote the projection."""


def patients_in_columns(columns: Sequence[ExportColumn]) -> Callable[[Sequence[Any]], list[str]]:
    """A function that gives the patients of rows with these columns."""
    named = [(at, each.kind) for at, each in enumerate(columns) if each.name in PATIENT_COLUMNS]
    ids = [at for at, kind in named if kind is Kind.TEXT]
    lists = [at for at, kind in named if kind is Kind.TEXTS]

    def patients(rows: Sequence[Any]) -> list[str]:
        found: list[str] = []
        for row in rows:
            found.extend(row[at] for at in ids if row[at])
            for at in lists:
                found.extend(filter(None, row[at] or ()))
        return found

    return patients
