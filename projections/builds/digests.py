"""Digests of finished tables. They follow from the log alone: the same events give the same bytes everywhere."""

from __future__ import annotations

import hashlib

from msgspec import Struct

from event_store.database import Connection
from projections.tables import Table

SORT_MEMORY = "256MB"
"""Memory for sorting by the key. PostgreSQL sorts the rest on disk."""


class TableDigest(Struct, frozen=True):
    """`sha256` (hex) is of the rows in the order of their key, as COPY ... (FORMAT binary) sends them."""

    rows: int
    sha256: str


class _Hash:
    """A file that keeps only the digest of its content. `write` is called for every row."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.write = self._hash.update

    def hexdigest(self) -> str:
        """The digest of everything written."""
        return self._hash.hexdigest()


def digest_table(connection: Connection, table: Table, schema: str) -> TableDigest:
    """The digest of a table in the connection's snapshot. Reads the whole table, one piece at a time."""
    sink = _Hash()
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('work_mem', %s, true)", (SORT_MEMORY,))
        cursor.copy_expert(
            f"COPY (SELECT {', '.join(table.names)} FROM {schema}.{table.name} ORDER BY {', '.join(table.key)})"
            " TO STDOUT (FORMAT binary)",
            sink,
        )
        return TableDigest(cursor.rowcount, sink.hexdigest())
