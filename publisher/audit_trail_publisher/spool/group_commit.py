"""Write what several threads add at the same time in one transaction, so that they share one fsync."""

from __future__ import annotations

import sqlite3
import time
from collections import deque

from audit_trail_publisher.errors import PublisherError, SpoolFullError, SpoolUnavailableError
from audit_trail_publisher.messages import Message, with_sequence
from audit_trail_publisher.spool import connection as spool_connection
from audit_trail_publisher.spool.connection import SQL, SpoolConnection

_MOST = 500
"""Events in one transaction, so that nobody waits long for the disk."""

OWN_BYTES = 1 << 20
"""Room beyond `max_bytes` for events of the service itself: a thousand starts and stops while the trail is away."""


class _Ticket:
    """A message that a thread waits for. `done` without `error` means that `body` is on the disk."""

    __slots__ = ("body", "done", "error", "message")

    def __init__(self, message: Message) -> None:
        self.message = message
        self.body = message.body
        self.done = False
        self.error: PublisherError | None = None


class GroupCommit:
    """The first of the waiting threads that gets the connection writes the messages of all, in order.

    `max_bytes` is the room for bodies that are not sent yet. With `sequence`, each event of an instance gets its next
    number in the transaction that keeps it.
    """

    def __init__(self, connection: SpoolConnection, *, max_bytes: int, sequence: bool) -> None:
        self._connection = connection
        self._max_bytes = max_bytes
        self._sequence = sequence
        self._waiting: deque[_Ticket] = deque()

    def add(self, message: Message) -> bytes:
        """Return when `message` is on the disk: its body, with its number.

        Raises `SpoolFullError` and `SpoolUnavailableError`.
        """
        ticket = _Ticket(message)
        self._waiting.append(ticket)
        with self._connection.lock:
            while not ticket.done:
                tickets = [self._waiting.popleft() for _ in range(min(_MOST, len(self._waiting)))]
                if not tickets:
                    raise SpoolUnavailableError("a signal interrupted the thread that wrote this event")
                self._write(tickets)
        if ticket.error is not None:
            raise ticket.error
        return ticket.body

    def add_own(self, message: Message) -> bytes:
        """`add` for an event of the service itself, for which some room is reserved."""
        ticket = _Ticket(message)
        with self._connection.lock:
            self._write([ticket], own=True)
        if ticket.error is not None:
            raise ticket.error
        return ticket.body

    def forget_waiting(self) -> None:
        """Drop the tickets of other threads: in a forked process nobody waits for them."""
        self._waiting = deque()

    def _write(self, tickets: list[_Ticket], *, own: bool = False) -> None:
        try:
            with self._connection.transaction() as database:
                self._connection.require_room(
                    spool_connection.OWN_RESERVE if own else spool_connection.RESERVE
                )
                self._insert(database, tickets, self._max_bytes + (OWN_BYTES if own else 0))
        except BaseException as exc:
            error = (
                exc if isinstance(exc, PublisherError) else SpoolUnavailableError("the write was interrupted")
            )
            for ticket in tickets:
                ticket.error = ticket.error or error
            if error is not exc:
                raise
        finally:
            for ticket in tickets:
                ticket.done = True

    def _insert(self, database: sqlite3.Connection, tickets: list[_Ticket], most: int) -> None:
        now = time.time()
        events, size = database.execute(SQL["size"]).fetchone()
        sequences = _Sequences(database)
        for ticket in tickets:
            message = ticket.message
            number = sequences.next(message.instance) if self._sequence and message.instance else 0
            body = ticket.body = with_sequence(message.body, number) if number else message.body
            if size + len(body) > most:
                ticket.error = SpoolFullError(
                    f"the spool holds {size} bytes of events that are not sent, and may hold {self._max_bytes}"
                )
                continue
            row = {
                "event_id": message.event_id.bytes,
                "type": message.type,
                "key": message.key,
                "body": body,
                "kept_at": now,
            }
            if database.execute(SQL["add"], row).rowcount:
                events, size = events + 1, size + len(body)
                sequences.take(message.instance, number)
        database.execute(SQL["resize"], {"events": events, "bytes": size})
        sequences.store()


class _Sequences:
    """The last numbers of instances, read once and written once for a transaction."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._last: dict[tuple[str, str], int] = {}

    def next(self, instance: tuple[str, str]) -> int:
        """The number for the next event of `instance`."""
        if instance not in self._last:
            named = {"service": instance[0], "instance": instance[1]}
            row = self._database.execute(SQL["sequence"], named).fetchone()
            self._last[instance] = 0 if row is None else row[0]
        return self._last[instance] + 1

    def take(self, instance: tuple[str, str] | None, number: int) -> None:
        """An event was kept with `number`; 0 is none."""
        if instance is not None and number:
            self._last[instance] = number

    def store(self) -> None:
        """Write the numbers; they are committed with the events."""
        for (service, instance), number in self._last.items():
            if number:
                row = {"service": service, "instance": instance, "sequence": number}
                self._database.execute(SQL["set_sequence"], row)
