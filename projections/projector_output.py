"""The rows that a projector's code makes, and two faults that Python and the driver do not assign to the projector."""

from __future__ import annotations

from collections.abc import Sequence

from domain.event import RecordedEvent
from projections.projector import Projector
from projections.tables import Row, Table


class ExitError(Exception):
    """The code called `sys.exit`; the `SystemExit` is the cause. It stops the projection, not the program."""


class DuplicateKeyError(ValueError):
    """Two rows of an append-only table have one key. The message holds no values, so it can be shown."""

    def __init__(self, table: Table) -> None:
        super().__init__(
            f"table {table.name}: two rows have one key ({', '.join(table.key)}): give the table's other columns"
            " merges, or put the position, and a number where an event has several rows, into its key"
        )


def made_rows(projector: Projector, events: Sequence[RecordedEvent]) -> dict[str, list[Row]]:
    """The rows of each table of the projector. Raises whatever its code raises, and `ExitError`."""
    try:
        rows = projector.rows(events)
        return {table.name: list(rows.get(table.name, ())) for table in projector.tables}
    except SystemExit as exc:
        raise ExitError(projector.name) from exc
