"""The advisory lock of a part of which one process works at a time; another one waits for it.

The lock belongs to a session of its own, so it ends with the process. Its key is a random number that stands in a row,
because any login can take a lock whose key it knows.
"""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import suppress

from domain.errors import UnavailableError
from event_store.database import Connection, Cursor, Database, translated
from event_store.statement_errors import StatementError, statement_errors
from event_store.statements import load

_SQL = load(__package__, "part_lock.sql")


class PartLock:
    """The lock of `part`. Raises `UnavailableError` while the database is away."""

    def __init__(self, database: Database, part: str) -> None:
        self._database = database
        self._part = part
        self._session: Connection | None = None
        self.mark = 0
        """Which hold of the lock it is: it changes each time that this process takes the lock anew."""

    def hold(self) -> bool:
        """Whether this process has the lock, which it takes when no other has it. Call it again and again."""
        if self._session is not None:
            try:
                if self._seen():
                    with translated(), self._session.cursor() as cursor:
                        cursor.execute("SELECT 1")
                    return True
            except UnavailableError:
                self.close()
                raise
            self.close()
        session = self._database.connect()
        try:
            with translated():
                session.autocommit = True
                with session.cursor() as cursor:
                    held = self._take(cursor)
        except BaseException:
            session.close()
            raise
        if not held:
            session.close()
            return False
        self._session = session
        return True

    def close(self) -> None:
        """Let another process have the lock."""
        session, self._session = self._session, None
        if session is not None:
            with suppress(UnavailableError, StatementError), statement_errors():
                session.close()

    def _take(self, cursor: Cursor) -> bool:
        self.mark = secrets.randbits(62)
        cursor.execute(_SQL["mark"], {"mark": self.mark})
        values = {
            "part": self._part,
            "mark": self.mark,
            "host": socket.gethostname()[:255],
            "pid": os.getpid(),
        }
        cursor.execute(_SQL["take"], values)
        return cursor.rowcount == 1

    def _seen(self) -> bool:
        with self._database.transaction() as connection, connection.cursor() as cursor:
            cursor.execute(_SQL["seen"], {"part": self._part, "mark": self.mark})
            return cursor.rowcount > 0
