"""Asks the server about its other processes, over a connection of its own and with a deadline."""

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
"""A server that takes longer for one row of pg_stat_activity answers nobody."""
_AGAIN_SECONDS = 0.1

_SQL = load(__package__, "server_probe.sql")


class Verdict(enum.Enum):
    """What the server says of a process that a call of ours waits for."""

    BUSY = "the server answers and says that the statement runs"
    IDLE = "the server answers and waits for us"
    GONE = "the server answers and has no such process"
    UNKNOWN = "the server answers and does not say what it does"
    SILENT = "the server does not answer at all"


class Probe:
    """Asks the server, in a thread of its own, what the processes `pids` do."""

    def __init__(self, dsn: str, pids: Sequence[int]) -> None:
        self.pids = frozenset(pids)
        self._dsn = dsn
        self._until = time.monotonic() + PROBE_SECONDS
        self._started = ""
        self._idle: Mapping[int, bool] = {}
        self._failure: Verdict | None = None
        self._thread = threading.Thread(target=self._ask, name="database-probe", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether there is an answer, or the time for one is over."""
        return not self._thread.is_alive() or time.monotonic() > self._until + 1

    def verdict(self, pid: int, started: str) -> Verdict:
        """Of process `pid` of the server that started then. Another server can tell nothing of it."""
        if self._thread.is_alive():  # in a look-up of the host's name, for instance
            return Verdict.SILENT
        if self._failure is not None:
            return self._failure
        if not pid or started != self._started:
            return Verdict.UNKNOWN
        idle = self._idle.get(pid)
        if idle is None:
            return Verdict.GONE
        return Verdict.IDLE if idle else Verdict.BUSY

    def _ask(self) -> None:
        try:
            rows = _answer(self._dsn, _SQL["probe"], {"pids": list(self.pids)}, self._until)
            self._started = rows[0][0]
            self._idle = {pid: idle for _, pid, idle in rows if pid is not None}
        except TimeoutError:
            self._failure = Verdict.SILENT
        except psycopg2.Error as exc:
            # "FATAL: sorry, too many clients already" is an answer; a refused connection is none.
            self._failure = Verdict.UNKNOWN if "FATAL" in str(exc) else Verdict.SILENT


def cancel(dsn: str, pid: int, started: str) -> bool:
    """Ask the server that started then to cancel what its process `pid` does; whether it took the request in time.

    libpq has a call for it, which waits without a limit; and psycopg2 keeps Python's lock meanwhile, so that the whole
    process would wait.
    """
    try:
        _answer(dsn, _SQL["cancel"], {"pid": pid, "started": started}, time.monotonic() + PROBE_SECONDS)
    except (TimeoutError, psycopg2.Error):
        return False
    return True


def _answer(dsn: str, statement: str, values: Mapping[str, object], until: float) -> list[tuple[Any, ...]]:
    """The rows of a statement. Raises `TimeoutError` at `until`, in monotonic seconds, or a little later."""
    deadline = _Deadline(until)
    try:
        timed = psycopg2.extensions.make_dsn(dsn, connect_timeout=round(PROBE_SECONDS))
        connection = psycopg2.connect(timed, connection_factory=deadline.connection)
        with closing(connection), connection.cursor() as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall())
    except SilentError as exc:
        raise TimeoutError from exc
    finally:
        deadline.done.set()


class _Deadline:
    """Ends the one connection that it makes."""

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
