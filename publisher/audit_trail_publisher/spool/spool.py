"""Keep events until the trail has them. Several threads and several processes may use one spool."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from uuid import UUID

from msgspec import Struct

from audit_trail_publisher.errors import SpoolFullError
from audit_trail_publisher.messages import Message
from audit_trail_publisher.spool.connection import SQL, SpoolConnection
from audit_trail_publisher.spool.group_commit import GroupCommit
from audit_trail_publisher.transports.transport import Rejection

log = logging.getLogger("audit_trail_publisher")

FILE = "events.sqlite3"
_PATIENCE = 0.1
"""Seconds between two looks for room that another process has made."""
_SILENCE = 60.0
"""Seconds between two lines of the log on calls that wait for room."""


class RejectedEvent(Struct, frozen=True, kw_only=True):
    """An event that the trail rejected, with its answer. `body` is the event, with all of its personal data."""

    event_id: UUID
    type: str
    rejected_at: datetime
    reason: str
    field: str
    message: str
    body: bytes


class SpoolStatus(Struct, frozen=True, kw_only=True):
    """The state of a spool, and what its relays did since it was made."""

    events: int
    bytes: int
    oldest_unsent_seconds: float
    rejected: int
    delivered: int
    failures: int
    last_error: str
    last_error_at: datetime | None
    last_success_at: datetime | None


class Spool:
    """The events on their way, in the order in which they are sent.

    `add` returns when its events are on the disk. What the relay writes (`settle`) is not synced: after a loss of power
    events may be sent again, and the trail knows their ids.

    Raises `SpoolUnavailableError` when the database can't be used.
    """

    def __init__(self, folder: Path, *, max_bytes: int, sequence: bool) -> None:
        self.folder = folder
        self._durable = SpoolConnection(folder / FILE, "FULL")
        self._relay = SpoolConnection(folder / FILE, "NORMAL")
        self._group = GroupCommit(self._durable, max_bytes=max_bytes, sequence=sequence)
        self.settled = threading.Condition()
        """Notified when the relay of this process has made room."""
        self._said_at = -_SILENCE

    def add(
        self, message: Message, *, wait: float = 0.0, is_open: Callable[[], bool] = lambda: True
    ) -> bytes:
        """Keep `message`, and return its body as it will be sent. An event that waits here already is not kept twice.

        `wait`: the seconds to wait for room, perhaps infinite. Raises `SpoolFullError` after that, and as
        soon as `is_open` says that nothing makes room any more.
        """
        until = time.monotonic() + wait
        while True:
            try:
                return self._group.add(message)
            except SpoolFullError as exc:
                left = until - time.monotonic()
                if left <= 0 or not is_open():
                    exc.waited = wait > 0
                    raise
                self._say_full(exc)
                with self.settled:
                    self.settled.wait(min(left, _PATIENCE))

    def add_own(self, message: Message) -> bytes:
        """`add` for an event of the service itself, which finds room in a full spool. It does not wait."""
        return self._group.add_own(message)

    def _say_full(self, exc: SpoolFullError) -> None:
        if time.monotonic() - self._said_at >= _SILENCE:
            self._said_at = time.monotonic()
            log.error("calls wait for room: %s", exc)

    def head(self, events: int, size: int) -> list[Message]:
        """The next events to send: at most so many, of at most `size` bytes together, but always one."""
        messages: list[Message] = []
        with (
            self._relay.reading() as database,
            closing(database.execute(SQL["head"], {"events": events})) as rows,
        ):
            for event_id, type, key, body in rows:
                size -= len(body)
                if size < 0 and messages:
                    break
                messages.append(Message(UUID(bytes=event_id), type, key, body))
        return messages

    def settle(
        self, messages: Sequence[Message], accepted: frozenset[UUID], rejected: dict[UUID, Rejection]
    ) -> None:
        """Remove what the trail has, and keep what it rejects apart."""
        now = time.time()
        events = size = 0
        # Without the second lock, SQLite would let a caller of `add` wait in steps of milliseconds.
        with self._relay.lock, self._durable.lock, self._relay.transaction() as database:
            for event_id, why in rejected.items():
                given = {"now": now, "reason": why.reason, "field": why.field, "message": why.message}
                database.execute(SQL["reject"], given | {"event_id": event_id.bytes})
            for message in messages:
                if message.event_id in accepted or message.event_id in rejected:
                    removed = database.execute(SQL["remove"], {"event_id": message.event_id.bytes}).rowcount
                    events, size = events + removed, size + removed * len(message.body)
            given = {"events": events, "bytes": size, "delivered": len(accepted), "now": now}
            database.execute(SQL["shrink"], given)
        with self.settled:
            self.settled.notify_all()

    def fail(self, error: str) -> None:
        """Note an attempt that failed, for the health probes of all processes."""
        with self._relay.lock, self._durable.lock, self._relay.transaction() as database:
            database.execute(SQL["fail"], {"error": error, "now": time.time()})

    def checkpoint(self) -> None:
        """Write the log of the database (WAL) into its file, so that the log is used again from its beginning."""
        with self._relay.reading() as database:
            database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            with self._durable.lock:  # what was added meanwhile is little
                database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def spool_id(self) -> str:
        """The random name that the spool got when it was made."""
        with self._durable.reading() as database:
            (name,) = database.execute(SQL["spool_id"]).fetchone()
        return str(name)

    def is_pending(self, event_id: UUID) -> bool:
        """Whether the event still has to be sent."""
        with self._durable.reading() as database:
            return database.execute(SQL["is_pending"], {"event_id": event_id.bytes}).fetchone() is not None

    def rejection(self, event_id: UUID) -> Rejection | None:
        """Why the trail rejected the event; None if it did not."""
        with self._durable.reading() as database:
            row = database.execute(SQL["rejection"], {"event_id": event_id.bytes}).fetchone()
        return None if row is None else Rejection(*row)

    def rejected(self, limit: int) -> list[RejectedEvent]:
        """The rejected events, the oldest first."""
        with self._durable.reading() as database:
            rows = database.execute(SQL["rejected"], {"events": limit}).fetchall()
        return [
            RejectedEvent(
                event_id=UUID(bytes=event_id),
                type=type,
                rejected_at=_time(at),
                reason=reason,
                field=field,
                message=message,
                body=body,
            )
            for event_id, type, at, reason, field, message, body in rows
        ]

    def resend(self, event_ids: Sequence[UUID]) -> int:
        """Put rejected events at the end of those that are sent; all of them without ids. Returns how many."""
        sent = 0
        with self._durable.transaction() as database:
            wanted = [each.bytes for each in event_ids] or [
                row[0] for row in database.execute(SQL["rejected_ids"]).fetchall()
            ]
            events, size = database.execute(SQL["size"]).fetchone()
            for event_id in wanted:
                row = database.execute(SQL["rejected_row"], {"event_id": event_id}).fetchone()
                if row is not None:
                    type, key, body, kept_at = row
                    again = {"event_id": event_id, "type": type, "key": key, "body": body, "kept_at": kept_at}
                    # The service may have recorded the same event again, so that it waits already.
                    added = database.execute(SQL["add"], again).rowcount
                    database.execute(SQL["forget_rejected"], {"event_id": event_id})
                    sent, events, size = sent + 1, events + added, size + added * len(body)
            database.execute(SQL["resize"], {"events": events, "bytes": size})
        return sent

    def discard(self, event_id: UUID, by: str, reason: str) -> bool:
        """Give a rejected event up, by the decision of an operator, which is kept. False: there is no such event."""
        with self._durable.transaction() as database:
            named = {"event_id": event_id.bytes}
            row = database.execute(SQL["rejected_row"], named).fetchone()
            if row is None:
                return False
            given = {"digest": sha256(row[2]).digest(), "now": time.time(), "operator": by, "why": reason}
            database.execute(SQL["discard"], given | named)
            database.execute(SQL["forget_rejected"], named)
        return True

    def status(self) -> SpoolStatus:
        """How much is on its way, and how the last attempts ended."""
        with self._durable.reading() as database:
            row = database.execute(SQL["status"]).fetchone()
        events, size, oldest, rejected, delivered, failures, error, error_at, success_at = row
        return SpoolStatus(
            events=events,
            bytes=size,
            oldest_unsent_seconds=0.0 if oldest is None else max(0.0, time.time() - oldest),
            rejected=rejected,
            delivered=delivered,
            failures=failures,
            last_error=error,
            last_error_at=None if error_at is None else _time(error_at),
            last_success_at=None if success_at is None else _time(success_at),
        )

    def close(self) -> None:
        """Close the database. It is opened again when it is used."""
        with self._relay.lock, self._durable.lock:
            self._relay.close()
            self._durable.close()

    def before_fork(self) -> None:
        """Close the database and let nobody open it until after the fork: a child can't use its parent's connection."""
        self._relay.lock.acquire()
        self._durable.lock.acquire()
        self.close()

    def after_fork(self, *, child: bool) -> None:
        """Go on after the fork. A child has none of the threads that waited."""
        if child:
            self._group.forget_waiting()
            self.settled = threading.Condition()
        self._durable.lock.release()
        self._relay.lock.release()


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
