"""The lock on a projection: one process at a time makes, switches or drops its builds."""

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


class AdvisoryLock:
    """The locked projections. The lock lasts as long as the connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def check(self) -> None:
        """Raise `UnavailableError` when the connection, and with it the lock, is gone."""
        with translated(), self._connection.cursor() as cursor:
            cursor.execute("SELECT 1")


@contextmanager
def advisory_lock(database: Database, names: Sequence[str], work: str) -> Iterator[AdvisoryLock]:
    """Lock these projections for `work`, until the block or this process ends.

    A row for each projection names the session that has the lock. Only that projection's own roles may write the row,
    so no other login can lock a projection, or make it look locked. The row holds a random number, on which the
    session has an advisory lock: that shows that the session still lives.

    Raises `FencedError`, which names the holder, when another process has locked one of them.
    """
    connection = database.connect()
    try:
        with translated():
            connection.autocommit = True
            number = _lock_number(connection)
            for name in sorted(names):
                _take(connection, name, work, number)
        yield AdvisoryLock(connection)
    finally:
        # Release it before the connection ends: the server may notice that end only after the next command starts.
        with suppress(UnavailableError, StatementError), statement_errors(), connection.cursor() as cursor:
            cursor.execute(_SQL["give_back"])
        connection.close()


@contextmanager
def bounded_wait(cursor: Cursor, name: str) -> Iterator[None]:
    """In a transaction: wait a few seconds for locks of other sessions, then raise `UnavailableError`.

    An analyst can lock the rows and tables of a custom projection, and keep an operator waiting.
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


def _lock_number(connection: Connection) -> int:
    """Take an advisory lock on a random number. Returns the number."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["patience"])
        while True:
            number = secrets.randbits(62)
            cursor.execute(_SQL["mark"], {"mark": number})
            if only(cursor):
                return number


def _taken(cursor: Cursor, holder: dict[str, object]) -> bool:
    """Try for a moment: the server may not have noticed yet that a killed holder is gone."""
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


def _take(connection: Connection, name: str, work: str, number: int) -> None:
    wanted: dict[str, object] = {
        "name": name,
        "work": work,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "mark": number,
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
            raise FencedError(f"projection {name} is locked by another process ({holder})")
