"""Waking the projectors after an append, in a transaction of its own.

NOTIFY is delivered through one queue of the whole server, and every login can fill it: one session that listens in an
open transaction keeps the queue from shrinking. PostgreSQL then refuses each COMMIT with a NOTIFY in it, and such
COMMITs also wait for each other. So no append depends on it: projectors look at the log by themselves every second.
"""

from __future__ import annotations

import logging
import time

from domain.errors import UnavailableError
from event_store.database import Database
from event_store.statement_errors import LimitExceededError
from event_store.statements import load

CHANNEL = "audit_trail_appended"
"""NOTIFY tells projectors that the log has grown; the payload is the new size."""

PAUSE_SECONDS = 5.0
"""After a failure nobody is woken for this long, so that appends do not wait again and again."""

_FULL = "PostgreSQL's notification queue is full: end the session that listens in an open transaction"
_SQL = load(__package__, "notification.sql")
_log = logging.getLogger(__name__)


class Announcer:
    """Announces appends in the database. A failure is logged, and costs a second until projectors look themselves."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._silent_until = 0.0

    def announce(self, size: int) -> bool:
        """Tell all who listen that the log has `size` events; whether that was done. Call it after the commit."""
        if time.monotonic() < self._silent_until:
            return False
        try:
            self._notify(size)
        except (LimitExceededError, UnavailableError) as exc:
            _log.warning(
                "appends are not announced for %.0f s (%s); projectors look by themselves every second",
                PAUSE_SECONDS,
                _FULL if isinstance(exc, LimitExceededError) else exc,
            )
            self._silent_until = time.monotonic() + PAUSE_SECONDS
            return False
        return True

    def _notify(self, size: int) -> None:
        try:
            self._run("announce", size)
        except LimitExceededError:
            self._run("shrink_queue", size)
            self._run("announce", size)

    def _run(self, statement: str, size: int) -> None:
        with self._database.transaction() as connection, connection.cursor() as cursor:
            cursor.execute(_SQL[statement], {"channel": CHANNEL, "size": str(size)})
