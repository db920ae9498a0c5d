"""The outbox table as a relay's backlog. Several relays may empty one table; each key keeps its order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib import resources
from typing import Any
from uuid import UUID

from msgspec import Struct

from audit_trail_publisher.errors import PublisherError, TransportError
from audit_trail_publisher.messages import Message
from audit_trail_publisher.outbox.rows import SQL, DBAPIConnection
from audit_trail_publisher.spool.spool import RejectedEvent
from audit_trail_publisher.transports.transport import Rejection

_STATUS_EVERY = 10.0
"""Seconds between two counts of the rows."""


def postgresql_tables() -> str:
    """The statements that make the tables in PostgreSQL, for a migration of the service."""
    return resources.files(__package__).joinpath("postgresql.sql").read_text("utf-8")


class OutboxStatus(Struct, frozen=True):
    """The rows that wait, and those that the trail rejected, some seconds ago."""

    events: int = 0
    oldest_unsent_seconds: float = 0.0
    rejected: int = 0


class Outbox:
    """Sends the rows of the table `audit_outbox`, and deletes them when the trail has them.

    `connect` returns a new connection of psycopg or psycopg2, for the relay alone. A row is locked until it is settled,
    by way of the slot of its key.
    """

    def __init__(self, connect: Callable[[], DBAPIConnection]) -> None:
        self._connect = connect
        self._connection: DBAPIConnection | None = None
        self._counted_at = 0.0
        self.status = OutboxStatus()
        self.last_error = ""
        """Why the last attempt of this process failed; empty when it did not."""

    def acquire(self) -> bool:
        """See `Backlog.acquire`. The locks are those of rows."""
        return True

    def head(self, events: int, size: int) -> list[Message]:
        """See `Backlog.head`. The transaction stays open until the messages are settled, or have failed."""
        with self._cursor() as cursor:
            cursor.execute(SQL["lock_slots"])
            slots = [slot for (slot,) in cursor.fetchall()]
            if not slots:
                self._end(commit=False)
                return []
            cursor.execute(SQL["head"], {"slots": slots, "events": events, "bytes": size})
            return [
                Message(UUID(str(id)), type, key, payload.encode())
                for id, type, key, payload in cursor.fetchall()
            ]

    def settle(
        self, messages: Sequence[Message], accepted: frozenset[UUID], rejected: dict[UUID, Rejection]
    ) -> None:
        """See `Backlog.settle`."""
        gone = [
            str(each.event_id) for each in messages if each.event_id in accepted or each.event_id in rejected
        ]
        with self._cursor() as cursor:
            for event_id, why in rejected.items():
                given = {"reason": why.reason, "field": why.field, "message": why.message}
                cursor.execute(SQL["reject"], given | {"id": str(event_id)})
            cursor.execute(SQL["delete"], {"ids": gone})
            self._end(commit=True)
        self.last_error = ""

    def fail(self, error: str) -> None:
        """See `Backlog.fail`: other relays may try."""
        self.last_error = error
        if self._connection is not None:
            with self._cursor():
                self._end(commit=False)

    def idle(self) -> None:
        """See `Backlog.idle`."""
        if time.monotonic() - self._counted_at < _STATUS_EVERY:
            return
        with self._cursor() as cursor:
            cursor.execute(SQL["status"])
            events, oldest, rejected = cursor.fetchone()
            self._end(commit=False)
        self.status = OutboxStatus(events, float(oldest), rejected)
        self._counted_at = time.monotonic()
        if not events:
            self.last_error = ""  # another relay has sent what this one could not

    def release(self) -> None:
        """See `Backlog.release`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def rejected(self, limit: int = 100) -> list[RejectedEvent]:
        """Events that the trail rejected, the oldest first. They stay until `resend`, or until they are deleted."""
        rows = self._alone(
            lambda cursor: (cursor.execute(SQL["rejected"], {"events": limit}), cursor.fetchall())[1]
        )
        return [
            RejectedEvent(
                event_id=UUID(str(id)),
                type=type,
                rejected_at=_utc(at),
                reason=reason,
                field=field,
                message=message,
                body=payload.encode(),
            )
            for id, type, at, reason, field, message, payload in rows
        ]

    def resend(self, event_ids: Sequence[UUID]) -> int:
        """Send rejected events again; all of them without ids. Returns how many."""
        given = {"everything": not event_ids, "ids": [str(each) for each in event_ids]}
        sent: int = self._alone(lambda cursor: (cursor.execute(SQL["resend"], given), cursor.rowcount)[1])
        return sent

    def after_fork(self) -> None:
        """In a child: the connection, and what closing it would tell the server, are the parent's."""
        _PARENTS.append(self._connection)
        self._connection = None

    def _alone(self, work: Callable[[Any], Any]) -> Any:
        """Do `work` in a transaction on a connection of its own: the caller is not the relay's thread."""
        connection = self._connect()
        try:
            cursor = connection.cursor()
            found = work(cursor)
            connection.commit()
            return found
        finally:
            connection.close()

    def _end(self, *, commit: bool) -> None:
        assert self._connection is not None
        if commit:
            self._connection.commit()
        else:
            self._connection.rollback()

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        """A cursor of the relay's connection. After an error the next use connects again.

        Raises `TransportError`: what a driver says can quote parameters.
        """
        try:
            if self._connection is None:
                self._connection = self._connect()
            cursor = self._connection.cursor()
            try:
                yield cursor
            finally:
                cursor.close()
        except PublisherError:
            raise
        except Exception as exc:  # drivers have no common base class
            broken, self._connection = self._connection, None
            if broken is not None:
                with suppress(Exception):
                    broken.close()
            raise TransportError(f"the outbox can't be used: {type(exc).__name__}") from exc


_PARENTS: list[object] = []
"""Connections of the parent, kept so that nothing closes them."""


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)
