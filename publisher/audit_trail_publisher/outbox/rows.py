"""One row of the outbox table, and what writes it in the caller's own transaction.

The columns are those that Debezium's outbox event router expects by default, and two of our own::

    id             uuid         the event id; Debezium sends it as the header `id`
    aggregatetype  text         always ``audit-event``; Debezium routes by it
    aggregateid    text         the key, within which order is kept: the patient, else the actor, else the service
    type           text         the event type
    payload        text         the event: one line of JSON, the message's value byte for byte
    slot           smallint     a hash of the key: a relay sends the rows of one slot in order
    position       bigint       the order within the table; the database gives it

An event of the outbox has no `source.sequence`: numbers without gaps would let the service's transactions wait for each
other. The database itself guarantees that no row is lost.
"""

from __future__ import annotations

import zlib
from inspect import iscoroutinefunction
from typing import Any, Protocol, runtime_checkable
from uuid import UUID

from msgspec import Struct

from audit_trail_publisher.errors import ConfigurationError
from audit_trail_publisher.messages import Message
from audit_trail_publisher.statements import load

AGGREGATE_TYPE = "audit-event"
SLOTS = 16
"""Relays that can send at once. More would make batches smaller."""

SQL = load(__package__, "outbox.sql")
INSERT: str = SQL["insert"]
"""The statement that inserts a row, with the parameters of `OutboxRow.parameters` (style `pyformat`)."""


class OutboxRow(Struct, frozen=True, kw_only=True):
    """The columns that a writer inserts, by name; see the module."""

    id: UUID
    aggregatetype: str
    aggregateid: str
    type: str
    payload: str
    slot: int

    @classmethod
    def of(cls, message: Message) -> OutboxRow:
        """The row of a message."""
        return cls(
            id=message.event_id,
            aggregatetype=AGGREGATE_TYPE,
            aggregateid=message.key,
            type=message.type,
            payload=message.body.decode(),
            slot=zlib.crc32(message.key.encode()) % SLOTS,
        )

    def parameters(self) -> dict[str, str | int]:
        """The parameters of `INSERT`, by name. The id is text, which every driver has."""
        return {
            "id": str(self.id),
            "aggregatetype": self.aggregatetype,
            "aggregateid": self.aggregateid,
            "type": self.type,
            "payload": self.payload,
            "slot": self.slot,
        }


class OutboxWriter(Protocol):
    """Inserts rows in a transaction of the caller, with the library that the caller uses."""

    def write(self, row: OutboxRow) -> None:
        """Insert `row` into the table, without a commit. An error of the database is the caller's."""
        ...


@runtime_checkable
class DBAPIConnection(Protocol):
    """A connection of psycopg or psycopg2 (DB-API 2.0 with the parameter style `pyformat`)."""

    def cursor(self) -> Any:
        """A cursor."""
        ...

    def commit(self) -> Any:
        """Commit."""
        ...

    def rollback(self) -> Any:
        """Roll back."""
        ...

    def close(self) -> Any:
        """Close."""
        ...


class ConnectionWriter:
    """Inserts rows on a connection of psycopg or psycopg2.

    `delete`: delete each row at once, when Debezium sends what the transaction log has and nothing else empties the
    table.
    """

    def __init__(self, connection: DBAPIConnection, *, delete: bool = False) -> None:
        self._connection = connection
        self._delete = delete

    def write(self, row: OutboxRow) -> None:
        """See `OutboxWriter.write`."""
        cursor = self._connection.cursor()
        try:
            cursor.execute(INSERT, row.parameters())
            if self._delete:
                cursor.execute(SQL["delete"], {"ids": [str(row.id)]})
        finally:
            cursor.close()


def writer_of(transaction: DBAPIConnection | OutboxWriter) -> OutboxWriter:
    """The writer that a caller means. Raises `ConfigurationError` for a connection that would write nothing."""
    if not isinstance(transaction, DBAPIConnection):
        return transaction
    if iscoroutinefunction(transaction.commit):
        raise ConfigurationError("the connection is an asynchronous one, whose statements nobody would await")
    return ConnectionWriter(transaction)
