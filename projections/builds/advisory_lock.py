"""One at a time: whoever makes, switches or drops a projection's builds holds it; a second one is told who does."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from domain.errors import FencedError, LockedError, UnavailableError
from event_store.database import Connection, Cursor, Database, only, translated
from event_store.statement_errors import StatementError, statement_errors
from event_store.statements import load

_SQL = load(__package__, "advisory_lock.sql")
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
    """Hold these projections for `work`, until the block or this process ends, however it ends.

    A row for each projection says which session holds it. Only that projection's own roles may write the row, so no
    other login can hold a projection, or make it seem held. The session's advisory lock on a random number, which the
    row has too, shows that the session still lives.

    Raises `FencedError` that names the holder when one of them is held already.
    """
    connection = database.connect()
    try:
        with translated():
            connection.autocommit = True
            mark = _mark(connection)
            for name in sorted(names):
                _take(connection, name, work, mark)
        yield Hold(connection)
    finally:
        # Given back before the connection ends, of which the server may hear only after the next command asks.
        with suppress(UnavailableError, StatementError), statement_errors(), connection.cursor() as cursor:
            cursor.execute(_SQL["give_back"])
        connection.close()


@contextmanager
def bounded_wait(cursor: Cursor, name: str) -> Iterator[None]:
    """In a transaction: wait for locks of other sessions for some seconds only, then raise `UnavailableError`.

    An analyst may lock the rows and tables of a projection of their own, and keep an operator waiting.
    """
    cursor.execute(_SQL["bounded"])
    try:
        with statement_errors():
            yield
    except LockedError as exc:
        raise UnavailableError(
            f"another session has a lock on projection {name}: end its transaction, which pg_locks and"
            " pg_stat_activity show, then try again"
        ) from exc


def _mark(connection: Connection) -> int:
    """A number on which this session, and no other, has an advisory lock."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["patience"])
        while True:
            mark = secrets.randbits(62)
            cursor.execute(_SQL["mark"], {"mark": mark})
            if only(cursor):
                return mark


def _taken(cursor: Cursor, holder: dict[str, object]) -> bool:
    """Tried for a moment, since the server may not have heard yet that a killed holder is gone."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            with statement_errors():
                cursor.execute(_SQL["take"], holder)
        except LockedError as exc:
            raise FencedError(
                f"another session keeps the row of projection {holder['name']} in audit_trail.projection_holder locked:"
                " end its transaction, then try again"
            ) from exc
        if cursor.rowcount == 1:
            return True
        if time.monotonic() > until:
            return False
        time.sleep(0.05)


def _take(connection: Connection, name: str, work: str, mark: int) -> None:
    wanted: dict[str, object] = {
        "name": name,
        "work": work,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "mark": mark,
    }
    with connection.cursor() as cursor:
        if not _taken(cursor, wanted):
            cursor.execute(_SQL["find_holder"], {"name": name})
            row = cursor.fetchone()
            holder = (
                f"{row[0]}, process {row[2]} on {row[1]}, since {row[3]:%Y-%m-%d %H:%M:%S} UTC"
                if row
                else "unknown"
            )
            raise FencedError(f"projection {name} is held by another process ({holder})")
