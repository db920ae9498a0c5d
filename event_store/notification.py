"""Wake the projectors after an append, in a separate transaction.

The server has one queue for all NOTIFY, and every login can fill it: a session that listens in an open transaction
keeps the queue from shrinking. Then PostgreSQL refuses each COMMIT with a NOTIFY; such COMMITs also wait for each
other. So no append depends on NOTIFY: projectors poll the log every second.
"""

from __future__ import annotations

import logging
import re
import time
from typing import NamedTuple

from domain.errors import UnavailableError
from event_store import tracing
from event_store.database import Database
from event_store.statement_errors import LimitExceededError
from event_store.statements import load
from event_store.tracing import TraceContext

CHANNEL = "audit_trail_appended"
"""The channel on which projectors listen; the payload is the new size of the log.

When appends are traced, a space and the `traceparent` of the append follow.
"""

PAUSE_SECONDS = 5.0
"""No NOTIFY is sent for this long after a failure, so that appends do not wait repeatedly."""

_FULL = "PostgreSQL's notification queue is full: end the session that listens in an open transaction"
_SIZE = re.compile(r"[0-9]{1,18}")
_SQL = load(__package__, "notification.sql")
_log = logging.getLogger(__name__)


class Announcer:
    """Announces appends. A failure is logged; projectors then see the events at their next poll, within a second."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._silent_until = 0.0

    def announce(self, size: int, trace: TraceContext | None = None) -> bool:
        """Announce that the log has `size` events. Returns whether it succeeded. Call it after the commit.

        `trace` identifies the append in a trace.
        """
        if time.monotonic() < self._silent_until:
            return False
        try:
            self._notify(str(size) if trace is None else f"{size} {trace.traceparent}")
        except (LimitExceededError, UnavailableError) as exc:
            _log.warning(
                "appends are not announced for %.0f s (%s); projectors poll every second",
                PAUSE_SECONDS,
                _FULL if isinstance(exc, LimitExceededError) else exc,
            )
            self._silent_until = time.monotonic() + PAUSE_SECONDS
            return False
        return True

    def _notify(self, payload: str) -> None:
        try:
            self._run("announce", payload)
        except LimitExceededError:
            self._run("shrink_queue", payload)
            self._run("announce", payload)

    def _run(self, statement: str, payload: str) -> None:
        with self._database.transaction() as connection, connection.cursor() as cursor:
            cursor.execute(_SQL[statement], {"channel": CHANNEL, "payload": payload})


class Announcement(NamedTuple):
    """A traced append: the log's size after it, and the context of its span."""

    size: int
    trace: TraceContext


def read_announcement(payload: str) -> Announcement | None:
    """The traced append that a payload tells of; None for any other. Every role of a database can notify."""
    size, _, traceparent = payload.partition(" ")
    trace = tracing.parse(traceparent)
    return None if trace is None or not _SIZE.fullmatch(size) else Announcement(int(size), trace)
