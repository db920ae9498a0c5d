"""The spool as a relay's backlog: of all processes that share it, one sends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID

from audit_trail_publisher.messages import Message
from audit_trail_publisher.spool.connection import translated
from audit_trail_publisher.spool.file_lock import FileLock
from audit_trail_publisher.spool.folder import make_private
from audit_trail_publisher.spool.spool import FILE, Spool
from audit_trail_publisher.transports.transport import Rejection

_LARGE_WAL = 4 << 20
"""Bytes of the database's log, from which it is written into the database."""


class SpoolBacklog:
    """See `Backlog`. `sign_of_life` is called now and then."""

    def __init__(self, spool: Spool, sign_of_life: Callable[[], None]) -> None:
        self._spool = spool
        self._lock = FileLock(spool.folder / "relay.lock")
        self._forking = threading.Lock()
        self._sign_of_life = sign_of_life
        self._wal = Path(f"{spool.folder / FILE}-wal")

    def acquire(self) -> bool:
        """See `Backlog.acquire`."""
        with translated(), self._forking:
            self._sign_of_life()
            make_private(self._spool.folder)
            return self._lock.acquire()

    def head(self, events: int, size: int) -> list[Message]:
        """See `Backlog.head`."""
        return self._spool.head(events, size)

    def settle(
        self, messages: Sequence[Message], accepted: frozenset[UUID], rejected: dict[UUID, Rejection]
    ) -> None:
        """See `Backlog.settle`."""
        self._spool.settle(messages, accepted, rejected)

    def fail(self, error: str) -> None:
        """See `Backlog.fail`."""
        self._spool.fail(error)

    def idle(self) -> None:
        """See `Backlog.idle`."""
        with translated():
            large = self._wal.exists() and self._wal.stat().st_size >= _LARGE_WAL
        if large:
            self._spool.checkpoint()

    def release(self) -> None:
        """See `Backlog.release`."""
        with self._forking:
            self._lock.release()
        self._spool.close()

    def before_fork(self) -> None:
        """Let nobody take the lock until after the fork: a child would share it, and not know."""
        self._forking.acquire()

    def after_fork(self, *, child: bool) -> None:
        """In a child, the parent sends."""
        if child:
            self._lock.forget()
        self._forking.release()
