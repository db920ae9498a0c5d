"""One connection to the database of a spool, opened at first use, and closed while the process forks."""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from audit_trail_publisher.errors import ConfigurationError, SpoolFullError, SpoolUnavailableError
from audit_trail_publisher.spool.folder import make_private, require_plain
from audit_trail_publisher.statements import load

SQL = load(__package__, "spool.sql")
_TABLES = load(__package__, "schema.sql")

_VERSION = 1
_BUSY_SECONDS = 30.0
"""How long another process may hold the database: its largest transaction takes milliseconds."""
_BUSY_PAUSE = 0.005
_WAL_PAGES = 16_384
"""64 MB. The relay makes checkpoints long before; this is for a spool that nothing empties."""

RESERVE = 16 << 20
"""Bytes of the disk that new events leave free, besides the size of the log (WAL).

The relay needs room to note what was sent: at the worst it keeps a batch of 4 MiB among the rejected events. Without it
a full disk would stay full, as nothing could be removed.
"""

OWN_RESERVE = RESERVE // 2
"""Bytes of the disk that events of the service itself leave free: its start and its stop find room on a full disk."""


class SpoolConnection:
    """`with connection.transaction() as database:` one thread at a time.

    `sync` is SQLite's `synchronous` in WAL mode: with `FULL` a commit is on the disk when it returns (fsync). After a
    loss of power, a commit with `NORMAL` may be undone, but never one before it that was `FULL`.

    Raises `SpoolFullError` when the disk is full, and `SpoolUnavailableError` for other errors of the database.
    """

    def __init__(self, file: Path, sync: str) -> None:
        self.lock = threading.RLock()
        self._file = file
        self._sync = sync
        self._database: sqlite3.Connection | None = None
        self._opened_file: tuple[int, int] | None = None
        self._pid = os.getpid()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A transaction that writes. It is committed at the end of the block, and rolled back on an error."""
        with self.lock, translated():
            database = self._opened()
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Statements that read. Each sees what was committed before it."""
        with self.lock, translated():
            yield self._opened()

    def require_room(self, reserve: int) -> None:
        """Raise `SpoolFullError` when the disk has too little room for new events; `reserve`: see `RESERVE`."""
        disk, log = os.statvfs(self._file.parent), _log_of(self._file)
        needed = reserve + (log.stat().st_size if log.exists() else 0)
        if disk.f_blocks and disk.f_bavail * disk.f_frsize < needed:
            raise SpoolFullError("the disk of the spool is full")

    def close(self) -> None:
        """Close it. The next use opens it again."""
        with self.lock:
            database, self._database = self._database, None
            if database is not None:
                database.close()

    def _opened(self) -> sqlite3.Connection:
        if self._pid != os.getpid():
            if self._database is not None:
                # SQLite's locks belong to the parent: in this process it would believe to hold them.
                raise SpoolUnavailableError(
                    "the process was forked without Python's fork hooks, while the spool was open: start the publisher"
                    " after the fork (uWSGI: `lazy-apps`)"
                )
            self._pid = os.getpid()
        if self._database is None:
            self._database = _open(self._file, self._sync)
            self._opened_file = _identity(self._file)
        elif _identity(self._file) != self._opened_file:
            self.close()
            raise SpoolUnavailableError("the spool was removed or replaced while it was in use")
        return self._database


@contextmanager
def translated() -> Iterator[None]:
    """Errors of SQLite and of the file system as the client's own."""
    try:
        yield
    except sqlite3.Error as exc:
        name = getattr(exc, "sqlite_errorname", type(exc).__name__)
        if name == "SQLITE_FULL":
            raise SpoolFullError("the disk of the spool is full") from exc
        raise SpoolUnavailableError(f"the spool can't be used: {exc} ({name})") from exc
    except OSError as exc:
        raise SpoolUnavailableError(f"the spool can't be used: {exc.strerror}") from exc


def _log_of(file: Path) -> Path:
    """The log (WAL) of the database `file`."""
    return Path(f"{file}-wal")


def _identity(file: Path) -> tuple[int, int] | None:
    """Which file it is now; None when there is none."""
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _open(file: Path, sync: str) -> sqlite3.Connection:
    make_private(file.parent)
    for each in (file, _log_of(file), Path(f"{file}-shm")):
        require_plain(each)
    _create_file(file)
    database = sqlite3.connect(file, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _use_wal(database)
        database.execute(f"PRAGMA synchronous = {sync}")
        database.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
        _create_tables(database)
    except BaseException:
        database.close()
        raise
    return database


def _use_wal(database: sqlite3.Connection) -> None:
    """Make the file one with a log (WAL).

    SQLite does not wait for this change: while another connection makes it in the same new file, it is busy at once.
    """
    until = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                raise
            time.sleep(_BUSY_PAUSE)
        else:
            return


def _create_file(file: Path) -> None:
    """Create `file` for this user alone, as events are personal data; SQLite gives its other files the same mode.

    A file that exists must not be opened here: closing it would end the locks that this process has on it through other
    connections, and another process could then remove the log with events in it.
    """
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))


def _create_tables(database: sqlite3.Connection) -> None:
    """Create the tables in a new file. Raises `ConfigurationError` for those of a later version."""
    if _version(database) == _VERSION:
        return
    database.execute("BEGIN IMMEDIATE")
    version = _version(database)  # another process may have created them meanwhile
    if version > _VERSION:
        raise ConfigurationError(f"the spool is of version {version}: update audit-trail-publisher")
    if version == 0:
        for table in _TABLES.values():
            database.execute(table)
        database.execute(SQL["create_spool"], {"spool_id": secrets.token_hex(4)})
        database.execute(f"PRAGMA user_version = {_VERSION}")
    database.execute("COMMIT")


def _version(database: sqlite3.Connection) -> int:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    return int(version)
