"""Query the server about its other processes, over a separate connection with a deadline."""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import psycopg2
import psycopg2.extensions

from event_store.silence.connections import SilentError, WatchedConnection
from event_store.statements import load

PROBE_SECONDS = 5.0
"""A server that takes longer for one row of pg_stat_activity is considered silent."""
_AGAIN_SECONDS = 0.1

_SQL = load(__package__, "server_probe.sql")


class Verdict(enum.Enum):
    """The server's report on a process that one of our calls waits for."""

    BUSY = "the server answers and says that the statement runs"
    IDLE = "the server answers and waits for us"
    GONE = "the server answers and has no such process"
    UNKNOWN = "the server answers and does not say what it does"
    SILENT = "the server does not answer at all"


class Probe:
    """Queries the server, in a separate thread, for the state of the processes `pids`."""

    def __init__(self, dsn: str, pids: Sequence[int]) -> None:
        self.pids = frozenset(pids)
        self._dsn = dsn
        self._until = time.monotonic() + PROBE_SECONDS
        self._started = ""
        self._idle: Mapping[int, bool] = {}
        self._failure: Verdict | None = None
        self._thread = threading.Thread(target=self._run, name="database-probe", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether there is an answer, or the time limit has passed."""
        return not self._thread.is_alive() or time.monotonic() > self._until + 1

    def verdict(self, pid: int, started: str) -> Verdict:
        """The verdict on process `pid` of the server with that start time. Another server can't know it."""
        if self._thread.is_alive():  # for example in a host name look-up
            return Verdict.SILENT
        if self._failure is not None:
            return self._failure
        if not pid or started != self._started:
            return Verdict.UNKNOWN
        idle = self._idle.get(pid)
        if idle is None:
            return Verdict.GONE
        return Verdict.IDLE if idle else Verdict.BUSY

    def _run(self) -> None:
        try:
            rows = answer(self._dsn, _SQL["probe"], {"pids": list(self.pids)}, self._until)
            self._started = rows[0][0]
            self._idle = {pid: idle for _, pid, idle in rows if pid is not None}
        except TimeoutError:
            self._failure = Verdict.SILENT
        except psycopg2.Error as exc:
            # "FATAL: sorry, too many clients already" is an answer; a refused connection is not.
            self._failure = Verdict.UNKNOWN if "FATAL" in str(exc) else Verdict.SILENT


def cancel(dsn: str, pid: int, started: str) -> bool:
    """Ask the server to cancel the statement of process `pid`. Returns whether it accepted in time.

    `started` is the start time of the server with that process. libpq's own call waits without a limit, and psycopg2
    holds the GIL meanwhile, which would block the whole process.
    """
    try:
        answer(dsn, _SQL["cancel"], {"pid": pid, "started": started}, time.monotonic() + PROBE_SECONDS)
    except (TimeoutError, psycopg2.Error):
        return False
    return True


def answer(dsn: str, statement: str, values: Mapping[str, object], until: float) -> list[tuple[Any, ...]]:
    """The rows of a statement. Raises `TimeoutError` at `until` (monotonic seconds) or slightly later."""
    deadline = _Deadline(until)
    try:
        timed = psycopg2.extensions.make_dsn(dsn, connect_timeout=round(PROBE_SECONDS))
        connection = psycopg2.connect(timed, connection_factory=deadline.connection)
        connection.autocommit = True
        with closing(connection), connection.cursor() as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall())
    except SilentError as exc:
        raise TimeoutError from exc
    finally:
        deadline.done.set()


class _Deadline:
    """Ends the connection that it creates at the deadline."""

    def __init__(self, until: float) -> None:
        self.done = threading.Event()
        self._until = until
        self._connection: WatchedConnection | None = None
        threading.Thread(target=self._end, name="database-probe-deadline", daemon=True).start()

    def connection(self, dsn: str) -> WatchedConnection:
        """A new connection: psycopg2's `connection_factory`."""
        return WatchedConnection(dsn, self)

    def begin(self, connection: WatchedConnection) -> None:
        """Remember the one connection."""
        self._connection = connection

    def cancel(self, connection: WatchedConnection) -> None:
        """Do nothing: a probe ends at its deadline."""

    def _end(self) -> None:
        self.done.wait(max(0, self._until - time.monotonic()))
        while not self.done.wait(_AGAIN_SECONDS):
            connection = self._connection
            call = None if connection is None else connection.call
            if connection is not None and call is not None:
                connection.end(call, "the probe has had no answer")
