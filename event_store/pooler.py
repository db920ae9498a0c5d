"""Detect a connection pooler that changes the server process between transactions.

Role, time-outs, advisory locks and LISTEN belong to a session of PostgreSQL. PgBouncer in session mode keeps one server
process for each of our connections. In transaction or statement mode it does not: our settings would reach other
clients, and theirs us. So such a pooler is refused before anything is set.
"""

from __future__ import annotations

import time

import psycopg2

from domain.errors import ConfigurationError
from event_store.silence.connections import WatchedConnection
from event_store.silence.server_probe import answer
from event_store.statements import load

_TRIES = 5
"""Other clients of the pooler can hide the change once, but hardly five times in a row."""
_SECONDS = 5.0
_SQL = load(__package__, "pooler.sql")


class SessionsNotKeptError(ConfigurationError):
    """Stop: the pooler does not keep sessions."""

    def __init__(self) -> None:
        super().__init__(
            "the connection pooler in front of PostgreSQL changes the server process between transactions. Audit Trail"
            " needs sessions: set pool_mode=session in PgBouncer, or connect to PostgreSQL directly"
        )


def is_pooled(connection: WatchedConnection) -> bool:
    """Whether a pooler answers: it names another process to the driver than the server itself does."""
    return connection.pid != connection.get_backend_pid()


def refuse_transaction_pooling(connection: WatchedConnection, dsn: str) -> None:
    """Raise `SessionsNotKeptError` when the pooler gives the server process of `connection` to another connection.

    `connection` is pooled and in autocommit mode, because statement mode refuses transactions. A pooler without a
    second free connection within some seconds is accepted: in transaction mode it would have one.
    """
    for _ in range(_TRIES):
        if _process_of(connection) != connection.pid:
            raise SessionsNotKeptError
        try:
            ((other,),) = answer(dsn, _SQL["process"], {}, time.monotonic() + _SECONDS)
        except (TimeoutError, psycopg2.Error):
            return
        if other == connection.pid:
            raise SessionsNotKeptError


def _process_of(connection: WatchedConnection) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_SQL["process"])
        ((pid,),) = cursor.fetchall()
    return int(pid)
