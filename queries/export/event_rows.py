"""The events that match a query, in the order of the log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from domain.event import RecordedEvent
from event_store.database import Connection
from event_store.event_reader import events_at
from event_store.statements import load
from queries.export.columns import EVENT_COLUMNS, event_values
from queries.export.rows import RowBatch
from queries.export.text import event_lines
from queries.search.event_pages import positions_from
from queries.search.prepared import PreparedQuery

_SQL = load(__package__, "export.sql")

BATCH_POSITIONS = 2000
"""Positions that one search of the indexes returns."""
BATCH_BYTES = 2 << 20
"""Bodies that are read at once, so that memory does not grow with the size of events either."""


class EventRows:
    """An `ExportedRows`; the key is the position. `as_of` is the last position that may be exported."""

    columns = EVENT_COLUMNS

    def __init__(self, connection: Connection, query: PreparedQuery, as_of: int) -> None:
        self._connection = connection
        self._query = query
        self._as_of = as_of

    def batches(self, after: tuple[Any, ...] | None) -> Iterator[RowBatch]:
        """See `ExportedRows`."""
        at = after[0] if after else -1
        while True:
            found = positions_from(self._connection, self._query, self._as_of, at, BATCH_POSITIONS)
            for part in self._parts(found):
                yield RowBatch(events_at(self._connection, part), (part[-1],))
            if len(found) < BATCH_POSITIONS:
                return
            at = found[-1]

    def patients(self, rows: Sequence[RecordedEvent]) -> list[str]:
        """See `ExportedRows`."""
        return [patient.id for row in rows for patient in row.event.patients]

    def lines(self, rows: Sequence[RecordedEvent]) -> bytes:
        """See `ExportedRows`."""
        return event_lines(rows)

    def values(self, rows: Sequence[RecordedEvent]) -> list[tuple[Any, ...]]:
        """See `ExportedRows`."""
        return event_values(rows)

    def _parts(self, positions: list[int]) -> Iterator[list[int]]:
        """Split positions so that the bodies of each part have `BATCH_BYTES` at most, or are a single body."""
        with self._connection.cursor() as cursor:
            cursor.execute(_SQL["body_sizes"], {"positions": positions})
            sizes = dict(cursor.fetchall())
        part: list[int] = []
        total = 0
        for position in positions:
            size = sizes.get(position, 0)
            if part and total + size > BATCH_BYTES:
                yield part
                part, total = [], 0
            part.append(position)
            total += size
        if part:
            yield part
