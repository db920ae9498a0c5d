"""Access to rows of projections' tables, and the patients that rows disclose."""

from __future__ import annotations

from collections.abc import Iterator

from domain.access.grants import Operation
from domain.access.scope import Scope
from domain.errors import AccessDeniedError
from queries.export.disclosed_patients import PATIENT_COLUMNS
from queries.live_tables.pages import RowPage


def require_table(scope: Scope, *, own: bool) -> None:
    """Raise unless rows of a table may be read: of a custom (`own`) or a built-in projection.

    A built-in table contains data of all events, and no rule assigns its rows: it is for principals who see everything.
    The analyst who wrote a custom table decided what it contains: it is for all who may read tables.
    """
    hidden = scope.hidden(Operation.READ_TABLES)
    if hidden and not own:
        raise AccessDeniedError(Operation.READ_TABLES)


def patients_of(page: RowPage) -> Iterator[str]:
    """The patients in the rows, by the columns' names."""
    places = [at for at, column in enumerate(page.table.columns) if column.name in PATIENT_COLUMNS]
    for row in page.rows:
        for at in places:
            value = row[at]
            if isinstance(value, str):
                yield value
            elif isinstance(value, list):
                yield from (each for each in value if isinstance(each, str))
