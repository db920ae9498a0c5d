"""The mail addresses of staff, from the newest table of staff: for notices to those who are asked about a case."""

from __future__ import annotations

import time

from detection.context.chunks import rows_of
from detection.context.rows import row_decoder
from event_store.database import Database
from event_store.statements import load

_SQL = load(__package__, "addresses.sql")
_SECONDS = 60.0
"""How long what was read counts."""


class StaffAddresses:
    """Looks up addresses by any id of a person. Not thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._found: dict[str, str] = {}
        self._read_at: float | None = None

    def __call__(self, id: str) -> str | None:
        """The address; None when the table is not loaded, or has none for this person.

        Raises `LogInconsistentError` when the rows are not those that were loaded, and `UnavailableError`.
        """
        if self._read_at is None or time.monotonic() - self._read_at > _SECONDS:
            self._found, self._read_at = self._read(), time.monotonic()
        return self._found.get(id)

    def _read(self) -> dict[str, str]:
        decode = row_decoder("staff")
        with self._database.transaction(read_only=True) as connection, connection.cursor() as cursor:
            cursor.execute(_SQL["newest_staff"])
            chunks = cursor.fetchall()
        rows = (decode(row) for digest, content in chunks for row in rows_of(bytes(digest), bytes(content)))
        return {id: row.email for row in rows if row.email for id in (row.id, *row.other_ids)}
