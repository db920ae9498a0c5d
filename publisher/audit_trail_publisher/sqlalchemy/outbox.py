"""The outbox table for SQLAlchemy: events in the transaction of a session or a connection.

`outbox.outbox.postgresql_tables` has the statements that make the tables, for a migration: with Alembic
``op.execute(postgresql_tables())``.
"""

from __future__ import annotations

from typing import Any

from msgspec import structs
from sqlalchemy import Connection, SmallInteger, Text, Uuid, column, table
from sqlalchemy.exc import OperationalError, ProgrammingError, StatementError
from sqlalchemy.orm import Mapper, Session

from audit_trail_publisher.errors import ConfigurationError
from audit_trail_publisher.outbox.rows import OutboxRow

_TABLE = table(
    "audit_outbox",
    column("id", Uuid()),
    column("aggregatetype", Text()),
    column("aggregateid", Text()),
    column("type", Text()),
    column("payload", Text()),
    column("slot", SmallInteger()),
)
_NO_TABLE = (
    f"the database has no table {_TABLE.name}, or the service may not write it: make it with the statements of"
    " `audit-trail-publisher outbox-tables`, which are for PostgreSQL, or give `SessionAudit` the promise `durable`,"
    " which needs no table"
)


class ConnectionOutbox:
    """An `OutboxWriter` on a connection of SQLAlchemy: ``trail.within(ConnectionOutbox(connection))``.

    `delete`: see `outbox.rows.ConnectionWriter`.
    """

    def __init__(self, connection: Connection, *, delete: bool = False) -> None:
        self._connection = connection
        self._delete = delete

    def write(self, row: OutboxRow) -> None:
        """Insert `row` in the connection's transaction. Raises `ConfigurationError` when the table is missing."""
        try:
            self._connection.execute(_TABLE.insert().inline(), structs.asdict(row))
            if self._delete:
                self._connection.execute(_TABLE.delete().where(_TABLE.c.id == row.id))
        except StatementError as exc:
            if isinstance(exc, OperationalError | ProgrammingError) and _TABLE.name in str(exc.orig):
                raise ConfigurationError(_NO_TABLE) from None
            exc.hide_parameters = True  # its text would quote the event
            raise


class SessionOutbox:
    """An `OutboxWriter` on a session: ``trail.within(SessionOutbox(session))``. In async code pass `sync_session`.

    `mapper`: the class whose database has the table, for a session with several databases.
    """

    def __init__(self, session: Session, mapper: Mapper[Any] | None = None, *, delete: bool = False) -> None:
        self._session = session
        self._bind = {} if mapper is None else {"mapper": mapper}
        self._delete = delete

    def write(self, row: OutboxRow) -> None:
        """Insert `row` in the session's transaction. Nothing is flushed."""
        connection = self._session.connection(bind_arguments=dict(self._bind))
        ConnectionOutbox(connection, delete=self._delete).write(row)
