"""Whose rows of a projection's tables a scope gives, and whom these rows tell of."""

from __future__ import annotations

from collections.abc import Iterator

from domain.access.grants import Operation
from domain.access.scope import Scope
from domain.errors import AccessDeniedError
from queries.export.disclosed_patients import PATIENT_COLUMNS
from queries.live_tables.pages import RowPage


def require_table(scope: Scope, *, own: bool) -> None:
    """Raise unless rows of a table may be read, an analyst's `own` one or a built-in one.

    A built-in table holds whatever events say, and no row of it is anybody's: it is for whoever sees everything. What
    is in a table that an analyst wrote is what that analyst put there; it is for all who may read tables.
    """
    hidden = scope.hidden(Operation.READ_TABLES)
    if hidden and not own:
        raise AccessDeniedError(Operation.READ_TABLES)


def patients_of(page: RowPage) -> Iterator[str]:
    """Patients that the rows name, by the columns' names."""
    places = [at for at, column in enumerate(page.table.columns) if column.name in PATIENT_COLUMNS]
    for row in page.rows:
        for at in places:
            value = row[at]
            if isinstance(value, str):
                yield value
            elif isinstance(value, list):
                yield from (each for each in value if isinstance(each, str))
