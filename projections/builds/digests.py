"""Digests of finished tables, which the log alone decides: the same events give the same bytes on every machine."""

from __future__ import annotations

import hashlib

from msgspec import Struct

from event_store.database import Connection
from projections.tables import Table

SORT_MEMORY = "256MB"
"""For sorting by the key; what does not fit is sorted on disk."""


class TableDigest(Struct, frozen=True):
    """`sha256` (hex) is of the rows in the order of their key, as COPY ... (FORMAT binary) sends them."""

    rows: int
    sha256: str


class _Hash:
    """A file that keeps nothing of what is written but its digest. `write` is called for every row."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.write = self._hash.update

    def hexdigest(self) -> str:
        """Of all the pieces."""
        return self._hash.hexdigest()


def digest_table(connection: Connection, table: Table, schema: str) -> TableDigest:
    """The digest of a table in the connection's snapshot. Reads it whole, and holds one piece of it at a time."""
    sink = _Hash()
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('work_mem', %s, true)", (SORT_MEMORY,))
        cursor.copy_expert(
            f"COPY (SELECT {', '.join(table.names)} FROM {schema}.{table.name} ORDER BY {', '.join(table.key)})"
            " TO STDOUT (FORMAT binary)",
            sink,
        )
        return TableDigest(cursor.rowcount, sink.hexdigest())
