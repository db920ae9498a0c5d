"""Connections that say what they wait for, so that the watchdog can end a call that gets no answer.

psycopg2 waits for an answer without any time limit. Shutting the socket down from another thread ends the wait with an
error, also on a Unix socket and also when the server's process is stopped, where the kernel notices nothing.
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
    """One call of the driver that waits for the server.

    `heard` is when the server was last heard of (monotonic seconds), None while our own code works within a COPY. A
    call with a `limit` is ended after so many seconds, whatever the server does. `ask_at`: when to probe next.
    """

    __slots__ = ("ask_at", "began", "heard", "limit", "statement")

    def __init__(self, statement: object, limit: float | None = None) -> None:
        self.statement = statement
        self.limit = limit
        self.began = time.monotonic()
        self.heard: float | None = self.began
        self.ask_at = 0.0

    def waited(self, now: float) -> float:
        """Seconds without a sign of the server."""
        heard = self.heard
        return 0.0 if heard is None else now - heard

    @property
    def what(self) -> str:
        """The first word of the statement, such as COPY. Never more: a statement may hold values."""
        if isinstance(self.statement, str):
            found = _FIRST_WORD.match(self.statement)
            if found:
                return found[1].upper()
        return "a statement"


class Owner(Protocol):
    """Who looks after a connection."""

    def begin(self, connection: WatchedConnection) -> None:
        """Called before the connection is made."""
        ...

    def cancel(self, connection: WatchedConnection) -> None:
        """End the statement that the server runs for it, within seconds."""
        ...


class WatchedConnection(psycopg2.extensions.connection):
    """`call` is what it waits for now; `pid` and `started` are the server's process and when that server started."""

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
        """`function(*arguments)` as `call`. Raises `SilentError` when the watchdog has ended it."""
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
        """End `call`, from another thread, if it still waits; `why` becomes the words of the error."""
        # Under the lock, the call can't return and give the connection to another user. The descriptor is a copy, so
        # that no other file can have its number by now.
        with self.lock:
            if self.call is not call or self.silence:
                return False
            try:
                copy = os.dup(self.fileno())
            except (OSError, psycopg2.Error):
                return False  # it is not connected yet, and connect_timeout ends that
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
        """See the base. A named cursor asks the server for each portion of its rows."""
        if name is None:
            return super().cursor(cursor_factory=cursor_factory or self.cursor_factory)
        factory = cursor_factory or WatchedNamedCursor
        return super().cursor(name, factory, withhold, scrollable)

    def commit(self) -> None:
        """See the base."""
        self.watch(Call("COMMIT"), super().commit)

    def rollback(self) -> None:
        """See the base."""
        self.watch(Call("ROLLBACK"), super().rollback)

    def reset(self) -> None:
        """See the base."""
        self.watch(Call("RESET"), super().reset)

    def set_session(self, *arguments: Any, **options: Any) -> None:
        """See the base. It asks the server when the connection commits each statement by itself."""
        self.watch(Call("SET"), lambda: super(WatchedConnection, self).set_session(*arguments, **options))

    def cancel(self) -> None:
        """See the base; from any thread. A silent server loses the connection.

        The base waits for the server without a limit, and keeps Python's lock meanwhile: no thread would go on.
        """
        self._owner.cancel(self)

    def close(self) -> None:
        """See the base."""
        if self.call is None:
            with self.lock:
                super().close()
        else:  # another thread uses it, whom the base waits for
            super().close()


class WatchedCursor(psycopg2.extensions.cursor):
    """A cursor whose statements are watched. All rows are here when `execute` returns."""

    connection: WatchedConnection

    def execute(self, query: Any, vars: Any = None) -> None:
        """See the base."""
        self.connection.watch(Call(query), super().execute, query, vars)

    def executemany(self, query: Any, vars_list: Any) -> None:
        """See the base."""
        self.connection.watch(Call(query), super().executemany, query, vars_list)

    def callproc(self, procname: Any, parameters: Any = None) -> None:
        """See the base."""
        self.connection.watch(Call("CALL"), super().callproc, procname, parameters)

    def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:
        """See the base. Each piece that is sent or received is a sign of life."""
        call = Call(sql)
        self.connection.watch(call, super().copy_expert, sql, _watched_file(file, call), size)


class WatchedNamedCursor(WatchedCursor):
    """A cursor whose rows stay at the server until they are asked for."""

    def fetchone(self) -> Any:
        """See the base."""
        return self.connection.watch(Call("FETCH"), super().fetchone)

    def fetchmany(self, size: int | None = None) -> Any:
        """See the base."""
        return self.connection.watch(Call("FETCH"), super().fetchmany, *(() if size is None else (size,)))

    def fetchall(self) -> Any:
        """See the base."""
        return self.connection.watch(Call("FETCH"), super().fetchall)

    def scroll(self, value: int, mode: Any = "relative") -> None:
        """See the base."""
        self.connection.watch(Call("MOVE"), super().scroll, value, mode)

    def __next__(self) -> Any:
        return self.connection.watch(Call("FETCH"), super().__next__)

    def close(self) -> None:
        """See the base."""
        self.connection.watch(Call("CLOSE"), super().close)


class _File:
    """The file of a COPY. While it is read or written, the server is not waited for."""

    def __init__(self, file: Any, call: Call) -> None:
        self._file = file
        self._call = call

    def read(self, size: Any = -1, /) -> Any:
        """What is sent next."""
        self._call.heard = None
        try:
            return self._file.read(size)
        finally:
            self._call.heard = time.monotonic()

    def write(self, data: Any, /) -> Any:
        """What came."""
        self._call.heard = None
        try:
            return self._file.write(data)
        finally:
            self._call.heard = time.monotonic()


class _TextFile(_File, io.TextIOBase):
    """One that takes text: psycopg2 looks at the class."""


def _watched_file(file: Any, call: Call) -> _File:
    return (_TextFile if isinstance(file, io.TextIOBase) else _File)(file, call)
