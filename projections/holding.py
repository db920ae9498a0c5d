"""One at a time: whoever makes, switches or drops a projection's builds holds it; a second one is told who does."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import psycopg2

from domain.errors import FencedError
from event_store.database import Connection, Cursor, Database, only, translated
from event_store.statements import load

_SQL = load(__package__, "holding.sql")
_PATIENCE_SECONDS = 1.0


class Hold:
    """Projections that this process holds, as long as the connection lives."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def check(self) -> None:
        """Raise `UnavailableError` when the connection, and with it the hold, is gone."""
        with translated(), self._connection.cursor() as cursor:
            cursor.execute("SELECT 1")


@contextmanager
def holding(database: Database, names: Sequence[str], work: str) -> Iterator[Hold]:
    """Hold these projections for `work`. The lock is the session's: it ends with this process, however it ends.

    Raises `FencedError` that names the holder when one of them is held already.
    """
    connection = database.connect()
    try:
        with translated():
            connection.autocommit = True
            for name in sorted(names):
                _take(connection, name, work)
        yield Hold(connection)
    finally:
        # Given back before the connection ends, of which the server may hear only after the next command asks.
        with suppress(psycopg2.Error), connection.cursor() as cursor:
            cursor.execute(_SQL["give_back"])
        connection.close()


def _taken(cursor: Cursor, name: str) -> bool:
    """Tried for a moment, since the server may not have heard yet that a killed holder is gone."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        cursor.execute(_SQL["take"], {"name": name})
        if only(cursor):
            return True
        if time.monotonic() > until:
            return False
        time.sleep(0.05)


def _take(connection: Connection, name: str, work: str) -> None:
    with connection.cursor() as cursor:
        if not _taken(cursor, name):
            cursor.execute(_SQL["find_holder"], {"name": name})
            row = cursor.fetchone()
            holder = (
                f"{row[0]}, process {row[2]} on {row[1]}, since {row[3]:%Y-%m-%d %H:%M:%S} UTC"
                if row
                else "unknown"
            )
            raise FencedError(f"projection {name} is held by another process ({holder})")
        cursor.execute(
            _SQL["tell"], {"name": name, "work": work, "host": socket.gethostname(), "pid": os.getpid()}
        )
