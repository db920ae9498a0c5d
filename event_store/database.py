"""Access to PostgreSQL: connections, transactions, and the translation of driver errors."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
import psycopg2.extensions
from psycopg2 import sql as sql  # noqa: PLC0414 - exported: the other packages never import the driver
from psycopg2.extras import register_uuid

from domain.errors import ConfigurationError, LogInconsistentError, UnavailableError
from event_store.pooler import is_pooled, refuse_transaction_pooling
from event_store.silence.connections import Call, WatchedConnection
from event_store.silence.monitor import Silence, Watch
from event_store.statement_errors import MissingRightError, StatementError, connecting, statement_errors
from event_store.statements import load

Connection = psycopg2.extensions.connection
Cursor = psycopg2.extensions.cursor

INGEST = "audit_trail_ingest"
PROJECTOR = "audit_trail_projector"
READER = "audit_trail_reader"
GUARD = "audit_trail_guard"
WATCHER = "audit_trail_watcher"
FORWARDER = "audit_trail_forwarder"
CONTEXT = "audit_trail_context"
ANALYST = "audit_trail_analyst"
CUSTOM_ROLE_PREFIX = "audit_trail_own_"
"""Prefix of the role of a custom projection; the projection's name follows."""

TOO_MANY = "AT001"
"""SQLSTATE of the functions of migration 0008 when a login or projection reached a limit; the message names it."""

_IDLE_SECONDS = 1.0
"""A ping takes 0.1 ms, so only a connection that was idle for this long is tested before use."""

FOREIGN_LOCK_MS = 2000
"""How long a reader waits for a lock on a table of a custom projection. Readers share few connections."""
SILENCE_SECONDS = 20.0
"""By default, the time without an answer after which the server is probed."""
_TEST_SECONDS = 5.0
"""How long `SELECT 1` may take. It only tests a connection: at worst that connection is lost."""
_CONNECT_SECONDS = 10

_SETUP = {
    "42P01",  # undefined_table
    "42703",  # undefined_column
    "42883",  # undefined_function
    "3F000",  # invalid_schema_name
    "22023",  # invalid_parameter_value
    "42704",  # undefined_object
    "42501",  # insufficient_privilege
}
"""SQLSTATEs of a database that is not migrated, or of a login without its role."""

_SQL = load(__package__, "database.sql")


class Database:
    """A blocking pool of connections to one database, all in one role.

    Every connection takes `role`, whatever the login of `url` is, so that even an administrator's login can do no more
    than the component needs. `size` is the maximum of open connections; a caller waits for a free one.

    The pool detects a server that neither answers nor closes the connection: after `silence_seconds` without an answer
    it probes the server, and raises `UnavailableError` when the server does not work on the call (see
    `event_store.silence.monitor`). Set `long_statements=False` where all statements are short: then a call is also
    ended when the server reports it as running.
    """

    def __init__(
        self,
        url: str,
        role: str | None,
        *,
        size: int = 4,
        application_name: str = "audit-trail",
        statement_timeout_ms: int = 0,
        lock_timeout_ms: int = 0,
        silence_seconds: float = SILENCE_SECONDS,
        long_statements: bool = True,
    ) -> None:
        self.role = role
        self.size = size
        self._url = url
        self._application_name = application_name
        self._statement_timeout_ms = statement_timeout_ms
        self._lock_timeout_ms = lock_timeout_ms
        self._silence_seconds = silence_seconds
        # The server itself ends a statement at the time-out, with an error.
        short = max(silence_seconds, statement_timeout_ms / 1000 + _TEST_SECONDS)
        self._watch = Watch(application_name, Silence(silence_seconds, None if long_statements else short))
        self._places = threading.BoundedSemaphore(size)
        self._idle: list[tuple[Connection, float]] = []
        self._keeps_process = False
        self._foreign: set[Connection] = set()
        """Connections whose session must be reset before the next use."""

    def connect(self) -> Connection:
        """A dedicated connection; the caller closes it. Raises `UnavailableError` or `ConfigurationError`."""
        with connecting() as attempt:
            attempt.dsn = dsn = self._options()
            self._watch.dsn = dsn
            connection = psycopg2.connect(dsn, connection_factory=self._watch.connection)
        try:
            with translated():
                self._identify(connection, dsn)
                self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def transaction(self, *, read_only: bool = False) -> Iterator[Connection]:
        """A transaction on a pooled connection: committed at the end of the block, rolled back after any exception.

        `read_only` gives all statements one snapshot (REPEATABLE READ).
        """
        with self._places, translated():
            connection = self._take()
            try:
                if self.role != READER:  # a reader's connections have these defaults
                    connection.set_session(
                        isolation_level="REPEATABLE READ" if read_only else "READ COMMITTED",
                        readonly=read_only,
                    )
                yield connection
                connection.commit()
            except BaseException:
                self._give_back_broken(connection)
                raise
            self._give_back(connection)

    @contextmanager
    def foreign_snapshot(self) -> Iterator[Connection]:
        """A read-only transaction on foreign tables, such as those of custom projections.

        The session is reset before the next use, so that session changes by foreign code affect no other caller. An
        analyst's session may hold a lock on a table: the wait is limited to some seconds (`UnavailableError`).
        """
        with self.transaction(read_only=True) as connection:
            self._foreign.add(connection)
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = %s", (FOREIGN_LOCK_MS,))
            yield connection

    @contextmanager
    def snapshots(self) -> Iterator[Connection]:
        """A reader's connection on which each call is a transaction and a snapshot of its own.

        It saves BEGIN and COMMIT, two of the three round trips of a page.
        """
        assert self.role == READER
        with self._places, translated():
            connection = self._take()
            connection.autocommit = True  # a setting of the driver, not of the session
            try:
                yield connection
                connection.autocommit = False
            except BaseException:
                self._give_back_broken(connection)
                raise
            self._give_back(connection)

    def close(self) -> None:
        """Close the idle connections. Open transactions keep theirs until they end."""
        while self._idle:
            self._idle.pop()[0].close()

    def _take(self) -> Connection:
        """An idle connection that works, or a new one.

        A connection that was idle for long is tested first: after a restart of the server it is dead.
        """
        while self._idle:
            connection, since = self._idle.pop()
            if time.monotonic() - since < _IDLE_SECONDS or _works(connection):
                return connection
            connection.close()
            self.close()  # the other idle connections are most likely dead too
        return self.connect()

    def _give_back(self, connection: Connection) -> None:
        if connection in self._foreign:
            self._foreign.discard(connection)
            try:
                self._reset(connection)
            except psycopg2.Error:
                connection.close()  # the caller already has an answer or an error
                return
        self._idle.append((connection, time.monotonic()))

    def _options(self) -> str:
        """The URL with options that let the kernel detect a dead host. Options in the URL take precedence."""
        seconds = max(1, round(self._silence_seconds))
        ours = {
            "connect_timeout": os.environ.get("PGCONNECT_TIMEOUT", _CONNECT_SECONDS),
            "keepalives": 1,
            "keepalives_idle": seconds,
            "keepalives_interval": max(1, seconds // 4),
            "keepalives_count": 3,
            "tcp_user_timeout": seconds * 1000,
        }
        given = psycopg2.extensions.parse_dsn(self._url)
        fixed = {"application_name": self._application_name, "client_encoding": "UTF8"}
        return psycopg2.extensions.make_dsn(**ours | given | fixed)

    def _identify(self, connection: WatchedConnection, dsn: str) -> None:
        """Learn the server process. The first connection also shows whether a pooler keeps it."""
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(_SQL["server_process"])
            connection.pid, connection.started = cursor.fetchone()
        if not self._keeps_process and is_pooled(connection):
            refuse_transaction_pooling(connection, dsn)
        self._keeps_process = True
        connection.autocommit = False

    def _prepare(self, connection: WatchedConnection) -> None:
        register_uuid(conn_or_curs=connection)
        with connection.cursor() as cursor:
            if self.role is not None:
                _take_role(cursor, self.role)
            timeouts = {
                "statement_timeout": self._statement_timeout_ms,
                "lock_timeout": self._lock_timeout_ms,
            }
            cursor.execute(_SQL["session"], timeouts)
            if self.role == READER:
                cursor.execute(_SQL["reader_session"])
        connection.commit()

    def _reset(self, connection: Connection) -> None:
        """Reset the session: role, settings, temporary objects, prepared statements, session locks."""
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("DISCARD ALL")
        connection.autocommit = False
        assert isinstance(connection, WatchedConnection)  # `connect` creates no other type
        self._prepare(connection)

    def _give_back_broken(self, connection: Connection) -> None:
        """Return a connection after an error. It is kept only if the server still answers a rollback."""
        try:
            if connection.autocommit:
                connection.autocommit = False
            connection.rollback()
        except psycopg2.Error:
            self._foreign.discard(connection)
            connection.close()
            self.close()  # the idle connections are most likely dead too
        else:
            self._give_back(connection)


def _take_role(cursor: Cursor, role: str) -> None:
    """Raises `ConfigurationError` when the login is not a member of the role."""
    try:
        with statement_errors():
            cursor.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
    except MissingRightError as exc:
        login = cursor.connection.info.user
        raise ConfigurationError(
            f"this needs the role {role}, and the login {login} does not have it: use a login that has it,"
            f" or let the owner of the database run `GRANT {role} TO {login}`"
        ) from exc


def _works(connection: Connection) -> bool:
    try:
        ping(connection)
        connection.rollback()
    except (UnavailableError, psycopg2.Error):
        return False
    return True


def ping(connection: Connection) -> None:
    """Test the connection with a short time-out. Raises `UnavailableError`.

    For connections that are idle by design: those that listen or hold a lock.
    """
    statement = "SELECT 1"
    with translated(), connection.cursor() as cursor:
        if isinstance(connection, WatchedConnection):
            call = Call(statement, _TEST_SECONDS)
            connection.watch(call, psycopg2.extensions.cursor.execute, cursor, statement)
        else:
            cursor.execute(statement)


@contextmanager
def translated() -> Iterator[None]:
    """Translate driver errors like `statement_errors`, and missing tables or rights to `ConfigurationError`.

    The message does not repeat the server's text, which can quote values; the cause contains it.
    """
    try:
        with statement_errors():
            yield
    except StatementError as exc:
        if exc.code == TOO_MANY:
            raise ConfigurationError(exc.server_message or "too many objects") from exc
        if exc.code not in _SETUP:
            raise
        raise ConfigurationError(
            f"the database is not set up for this program ({exc.server_message or exc.name}):"
            " run `audit-trail migrate`, and give the login its role"
        ) from exc


def only(cursor: Cursor) -> Any:
    """The single column of the single row of a statement. Raises `LogInconsistentError` when there is no row."""
    row = cursor.fetchone()
    if row is None:
        raise LogInconsistentError("a required row is missing")
    return row[0]


def named(cursor: Cursor) -> list[dict[str, Any]]:
    """The rows of a statement, each by the names of its columns."""
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
