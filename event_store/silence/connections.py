"""Connections that report what they wait for, so that the watchdog can end a call without an answer.

psycopg2 waits for an answer without a time limit. Shutting down the socket from another thread ends the wait with an
error. That works on a Unix socket too, and when the server process is stopped, which the kernel does not detect.
"""

from __future__ import annotations

import io
import os
import re
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import psycopg2
import psycopg2.extensions

T = TypeVar("T")

_FIRST_WORD = re.compile(r"(?:\s+|--[^\n]*(?:\n|$))*([A-Za-z]+)")


class SilentError(psycopg2.OperationalError):
    """The watchdog ended this connection because no answer came."""


class Call:
    """One driver call that waits for the server.

    `heard` is the time of the last data from the server (monotonic seconds), None while our own code runs within a
    COPY. A call with a `limit` is ended after that many seconds, whatever the server does. `probe_at` is the time of
    the next probe.
    """

    __slots__ = ("began", "heard", "limit", "probe_at", "statement")

    def __init__(self, statement: object, limit: float | None = None) -> None:
        self.statement = statement
        self.limit = limit
        self.began = time.monotonic()
        self.heard: float | None = self.began
        self.probe_at = 0.0

    def waited(self, now: float) -> float:
        """Seconds since the server was last heard."""
        heard = self.heard
        return 0.0 if heard is None else now - heard

    @property
    def what(self) -> str:
        """The first word of the statement, such as COPY. Never more: a statement may contain values."""
        if isinstance(self.statement, str):
            found = _FIRST_WORD.match(self.statement)
            if found:
                return found[1].upper()
        return "a statement"


class Owner(Protocol):
    """The supervisor of a connection."""

    def begin(self, connection: WatchedConnection) -> None:
        """Called before the connection is established."""
        ...

    def cancel(self, connection: WatchedConnection) -> None:
        """Cancel the connection's running statement within seconds."""
        ...


class WatchedConnection(psycopg2.extensions.connection):
    """A connection that the watchdog can end.

    `call` is the current call. `pid` is the server process, and `started` the start time of that server.
    """

    def __init__(self, dsn: str, owner: Owner) -> None:
        self.lock = threading.Lock()
        self.call: Call | None = None
        self.silence = ""
        self.pid = 0
        self.started = ""
        self._owner = owner
        owner.begin(self)
        self.watch(Call("CONNECT"), super().__init__, dsn)
        self.cursor_factory = WatchedCursor

    def watch(self, call: Call, function: Callable[..., T], *arguments: Any) -> T:
        """Run `function(*arguments)` as `call`. Raises `SilentError` when the watchdog ended it."""
        self.call = call
        try:
            return function(*arguments)
        except psycopg2.Error as exc:
            if self.silence:
                raise SilentError(self.silence) from exc
            raise
        finally:
            with self.lock:
                self.call = None

    def end(self, call: Call, why: str) -> bool:
        """End `call` from another thread if it still waits. `why` becomes the message of the error."""
        # The lock keeps the call from returning and the connection from going to another user. The descriptor is a
        # copy, so no other file can have its number.
        with self.lock:
            if self.call is not call or self.silence:
                return False
            try:
                copy = os.dup(self.fileno())
            except (OSError, psycopg2.Error):
                return False  # not connected yet: connect_timeout applies
            self.silence = why
            with socket.socket(fileno=copy) as connected, suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)
        return True

    def cursor(  # type: ignore[override]
        self,
        name: str | None = None,
        cursor_factory: Any = None,
        withhold: bool = False,
        scrollable: bool | None = None,
    ) -> Any:
        """A watched cursor. A named cursor fetches each portion of its rows from the server."""
        if name is None:
            return super().cursor(cursor_factory=cursor_factory or self.cursor_factory)
        factory = cursor_factory or WatchedNamedCursor
        return super().cursor(name, factory, withhold, scrollable)

    def commit(self) -> None:
        """Commit, watched."""
        self.watch(Call("COMMIT"), super().commit)

    def rollback(self) -> None:
        """Roll back, watched."""
        self.watch(Call("ROLLBACK"), super().rollback)

    def reset(self) -> None:
        """Reset the session, watched."""
        self.watch(Call("RESET"), super().reset)

    def set_session(self, *arguments: Any, **options: Any) -> None:
        """Set the session, watched. Autocommit makes it a call to the server."""
        self.watch(Call("SET"), lambda: super(WatchedConnection, self).set_session(*arguments, **options))

    def cancel(self) -> None:
        """Cancel the running statement, from any thread. If the server is silent, the connection is ended.

        The base method waits without a limit and holds the GIL meanwhile, which would block every thread.
        """
        self._owner.cancel(self)

    def close(self) -> None:
        """Close the connection, after the call of another thread."""
        if self.call is None:
            with self.lock:
                super().close()
        else:  # another thread uses it; the base method waits for that thread
            super().close()


class WatchedCursor(psycopg2.extensions.cursor):
    """A cursor with watched statements. `execute` fetches all rows."""

    connection: WatchedConnection

    def execute(self, query: Any, vars: Any = None) -> None:
        """Execute a statement, watched."""
        self.connection.watch(Call(query), super().execute, query, vars)

    def executemany(self, query: Any, vars_list: Any) -> None:
        """Execute a statement for each set of values, watched."""
        self.connection.watch(Call(query), super().executemany, query, vars_list)

    def callproc(self, procname: Any, parameters: Any = None) -> None:
        """Call a procedure, watched."""
        self.connection.watch(Call("CALL"), super().callproc, procname, parameters)

    def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:
        """Copy, watched. Each piece that is sent or received counts as a sign of life."""
        call = Call(sql)
        self.connection.watch(call, super().copy_expert, sql, _watched_file(file, call), size)


class WatchedNamedCursor(WatchedCursor):
    """A cursor whose rows stay on the server until they are fetched."""

    def fetchone(self) -> Any:
        """Fetch a row, watched."""
        return self.connection.watch(Call("FETCH"), super().fetchone)

    def fetchmany(self, size: int | None = None) -> Any:
        """Fetch some rows, watched."""
        return self.connection.watch(Call("FETCH"), super().fetchmany, *(() if size is None else (size,)))

    def fetchall(self) -> Any:
        """Fetch all rows, watched."""
        return self.connection.watch(Call("FETCH"), super().fetchall)

    def scroll(self, value: int, mode: Any = "relative") -> None:
        """Move the cursor, watched."""
        self.connection.watch(Call("MOVE"), super().scroll, value, mode)

    def __next__(self) -> Any:
        return self.connection.watch(Call("FETCH"), super().__next__)

    def close(self) -> None:
        """Close the cursor on the server, watched."""
        self.connection.watch(Call("CLOSE"), super().close)


class _File:
    """The file of a COPY. Reading and writing it does not count as waiting for the server."""

    def __init__(self, file: Any, call: Call) -> None:
        self._file = file
        self._call = call

    def read(self, size: Any = -1, /) -> Any:
        """Read the data to send next."""
        self._call.heard = None
        try:
            return self._file.read(size)
        finally:
            self._call.heard = time.monotonic()

    def write(self, data: Any, /) -> Any:
        """Write received data."""
        self._call.heard = None
        try:
            return self._file.write(data)
        finally:
            self._call.heard = time.monotonic()


class _TextFile(_File, io.TextIOBase):
    """A file for text: psycopg2 checks the class."""


def _watched_file(file: Any, call: Call) -> _File:
    return (_TextFile if isinstance(file, io.TextIOBase) else _File)(file, call)
