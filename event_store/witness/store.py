"""The memory of a witness: one SQLite file that survives a crash of the machine.

Every change is one transaction that holds SQLite's write lock from the start. So several threads, or several processes
on one file, can't cosign two trees in place of one: C2SP tlog-witness describes that race.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from domain.errors import ConfigurationError, LogInconsistentError, UnavailableError
from event_store.files.folders import Folder
from event_store.statements import load

_SQL = load(__package__, "store.sql")

# Identifies the file as ours to SQLite; "ATwi".
APPLICATION_ID = 0x41547769
VERSION = 1
BUSY_SECONDS = 5.0
# The limit for each log and kind. Only heads that the log has signed are stored; the limit bounds what a misbehaving
# log can do to the disk. There are two kinds, because a third party can send honest heads with wrong proofs, and these
# must not displace real contradictions.
MAX_CONTRADICTIONS = 1000


class Cosigned(NamedTuple):
    """The largest cosigned tree of a log. `note` has the log's signatures and the cosignatures."""

    size: int
    root: bytes
    note: bytes


class WitnessStore:
    """The file. Thread-safe: each transaction has its own connection."""

    def __init__(self, path: Path) -> None:
        """Create the file if it is missing. Raises `ConfigurationError` when it can't be used."""
        self._path = path
        _require_private(path)
        try:
            with closing(self._connect()) as connection:
                _prepare(connection, path)
        except sqlite3.DatabaseError as exc:
            raise ConfigurationError(f"{path} can't be used as the witness's file: {exc}") from exc

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Hold the write lock; commit durably at the end of the block, or roll back after an exception.

        Raises `UnavailableError` when the lock or the disk is unavailable, `LogInconsistentError` when the file is
        damaged.
        """
        with _translated(), closing(self._connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield Transaction(connection)
            except BaseException:
                connection.rollback()
                raise
            connection.execute("COMMIT")

    def check(self) -> None:
        """Read the file and write to it durably, without a change of what it holds. Raises as `transaction`."""
        with self.transaction() as transaction:
            transaction.rewrite()

    def contradictions(self, origin: str) -> list[tuple[bytes, bytes, str]]:
        """The contradictory signed heads of a log: the cosigned head, the refused one, and the reason."""
        with _translated(), closing(self._connect()) as connection:
            rows = connection.execute(_SQL["contradictions"], {"origin": origin}).fetchall()
        return [(bytes(known), bytes(refused), reason) for known, refused, reason in rows]

    def note_of(self, origin_hash: str) -> bytes | None:
        """The last cosigned head of the log whose origin has this SHA-256 (hex), or None."""
        with _translated(), closing(self._connect()) as connection:
            row = connection.execute(_SQL["note"], {"origin_hash": origin_hash}).fetchone()
        return None if row is None else bytes(row[0])

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None)
        # A setting of the connection. Without FULL, a crash of the machine could undo a cosignature that was sent.
        connection.execute("PRAGMA synchronous = FULL")
        return connection


class Transaction:
    """Queries and changes under the write lock."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def latest(self, origin: str) -> Cosigned | None:
        """The largest cosigned tree of `origin`."""
        row = self._connection.execute(_SQL["latest"], {"origin": origin}).fetchone()
        return None if row is None else Cosigned(row[0], bytes(row[1]), bytes(row[2]))

    def rewrite(self) -> None:
        """Write a part of the file again. Fails when its tables are gone, or when the disk is full or read-only."""
        self._connection.execute(_SQL["count_logs"])
        self._connection.execute(f"PRAGMA user_version = {VERSION}")

    def remember(self, origin: str, cosigned: Cosigned, at: int) -> None:
        """Replace the largest tree. Triggers refuse a smaller tree, or a different one of the same size."""
        self._connection.execute(
            _SQL["remember"],
            {
                "origin": origin,
                "origin_hash": sha256(origin.encode()).hexdigest(),
                "cosigned_at": at,
                **cosigned._asdict(),
            },
        )

    def add_contradiction(
        self, origin: str, known: Cosigned, refused: Cosigned, reason: str, at: int
    ) -> None:
        """Store a signed head, and the cosigned head for which no consistency proof was given."""
        kind = {"origin": origin, "certain": refused.size == known.size}
        if self._connection.execute(_SQL["count_contradictions"], kind).fetchone()[0] >= MAX_CONTRADICTIONS:
            return
        self._connection.execute(
            _SQL["keep_contradiction"],
            {
                "origin": origin,
                "known_size": known.size,
                "known_note": known.note,
                "reason": reason,
                "refused_at": at,
                **refused._asdict(),
            },
        )


def _require_private(path: Path) -> None:
    """Check that nobody else may write to the folder: SQLite opens its files by name and follows links.

    Creates the file when it is missing. Raises `ConfigurationError`.
    """
    try:
        with Folder.open(path.parent) as folder:
            folder.require_own()
            for name in (path.name, *(f"{path.name}-{end}" for end in ("wal", "shm", "journal"))):
                if folder.has_file(name) or name == path.name:
                    folder.open_file(name, "ab").close()
    except OSError as exc:
        raise ConfigurationError(f"{path} can't be used as the witness's file: {exc.strerror}") from exc


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    # Two processes may start on a new file at once: each sees either nothing or the whole schema.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if (application, version) != (APPLICATION_ID, VERSION):
        if tables or application or version:
            raise ConfigurationError(
                f"{path} is the file of another program, or of another version of this one"
            )
        for statement in _statements(resources.files(__package__).joinpath("schema.sql").read_text("utf-8")):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def _statements(script: str) -> Iterator[str]:
    """The statements of a script, one by one: `executescript` would end the transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as exc:
        raise UnavailableError(f"the witness's file can't be used now: {exc}") from exc
    except sqlite3.DatabaseError as exc:
        raise LogInconsistentError(f"the witness's file is damaged: {exc}") from exc
