"""Access to the tables of projections, and the patients that their rows disclose."""

from __future__ import annotations

from collections.abc import Iterator

from domain.access.grants import Operation
from domain.access.scope import Scope
from domain.errors import AccessDeniedError
from queries.export.disclosed_patients import PATIENT_COLUMNS
from queries.live_tables.pages import RowPage


def require_table(scope: Scope, *, custom: bool) -> None:
    """Raise `AccessDeniedError` unless the principal may read a table. `custom`: it belongs to a custom projection.

    A row of a built-in table can hold data of any event, so only principals who see everything may read it. The author
    of a custom projection decides what its tables hold; all who may read tables may read them.
    """
    hidden = scope.hidden(Operation.READ_TABLES)
    if hidden and not custom:
        raise AccessDeniedError(Operation.READ_TABLES)


def patients_of(page: RowPage) -> Iterator[str]:
    """The patients that the rows disclose, by the names of the columns."""
    places = [at for at, column in enumerate(page.table.columns) if column.name in PATIENT_COLUMNS]
    for row in page.rows:
        for at in places:
            value = row[at]
            if isinstance(value, str):
                yield value
            elif isinstance(value, list):
                yield from (each for each in value if isinstance(each, str))
