"""Stored tree heads: one for each batch, the public keys, and the cosignatures of witnesses."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from domain.errors import ConfigurationError
from event_store.database import Connection, Cursor, only
from event_store.statements import load
from event_store.tlog.notes import Note, VerifierKey

_SQL = load(__package__, "heads.sql")

MAX_HEAD_BYTES = 64 << 10
"""The maximum size of a signed head with all its cosignatures. Longer data is not a head."""

MAX_NAME_BYTES = 800
"""The longest name of a stored key. A row of an index holds 2,704 bytes, and a key of ML-DSA-44 takes 1,750."""


class StoredHead(NamedTuple):
    """A head. `note` is the note with the log's signature; `cosignatures` are the signature lines of witnesses."""

    size: int
    root: bytes
    signed_at: datetime
    note: bytes
    cosignatures: tuple[str, ...] = ()

    @property
    def checkpoint(self) -> bytes:
        """The note with all its signatures, as the API serves it."""
        return self.note + "".join(f"{line}\n" for line in self.cosignatures).encode()


def require_storable(key: VerifierKey) -> None:
    """Raise `ConfigurationError` for a key whose name is too long for the database."""
    if len(key.name.encode()) > MAX_NAME_BYTES:
        raise ConfigurationError(
            f"the name of the key {key.name[:40]!r}... has more than {MAX_NAME_BYTES} bytes"
        )


def insert_head(cursor: Cursor, size: int, root: bytes, signed_at: datetime, note: Note) -> None:
    """Insert a head. Only the append does this, under its lock."""
    cursor.execute(
        _SQL["insert_head"],
        {"size": size, "root": root, "signed_at": signed_at, "note": note.encode().decode()},
    )


def insert_keys(cursor: Cursor, keys: Sequence[VerifierKey], size: int) -> int:
    """Insert the public keys that sign heads from `size` on. Returns the number of new keys."""
    added = 0
    for key in keys:
        cursor.execute(_SQL["insert_key"], {"vkey": key.encode(), "first_size": size})
        added += cursor.rowcount
    return added


def stored_keys(connection: Connection) -> list[VerifierKey]:
    """The public keys of the log, the oldest first."""
    return [key for _, key in first_sizes(connection)]


def first_sizes(connection: Connection) -> list[tuple[int, VerifierKey]]:
    """The public keys of the log, each with the size of the first tree that it may have signed."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["keys"])
        return [(size, VerifierKey.parse(vkey)) for size, vkey in cursor.fetchall()]


def newest_head(connection: Connection) -> StoredHead | None:
    """The head of the largest tree."""
    return _head(connection, None)


def head_at(connection: Connection, size: int) -> StoredHead | None:
    """The head of the tree of exactly `size` leaves; one exists for every size at which a batch ended."""
    return _head(connection, size)


def head_covering(connection: Connection, position: int) -> StoredHead | None:
    """The newest cosigned head if it covers `position`, else the newest head."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["largest_cosigned_head"])
        size = only(cursor)
    found = None if size is None or size <= position else _head(connection, size)
    return found or newest_head(connection)


def witnesses(connection: Connection, size: int) -> list[VerifierKey]:
    """The witnesses that have signed the head of `size` events, the first one first."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["witnesses"], {"size": size})
        return [VerifierKey.parse(vkey) for (vkey,) in cursor.fetchall()]


def add_cosignature(connection: Connection, size: int, witness: VerifierKey, line: str) -> None:
    """Insert a witness's cosignature, once."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["insert_cosignature"], {"size": size, "vkey": witness.encode(), "line": line})


def largest_cosigned(connection: Connection, witness: VerifierKey) -> int:
    """The size of the largest head with a cosignature of this witness; 0 when there is none."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["largest_cosigned"], {"vkey": witness.encode()})
        return int(only(cursor))


def _head(connection: Connection, size: int | None) -> StoredHead | None:
    with connection.cursor() as cursor:
        cursor.execute(_SQL["head"], {"size": size})
        row = cursor.fetchone()
    if row is None:
        return None
    found, root, signed_at, note, lines = row
    return StoredHead(found, bytes(root), signed_at, note.encode(), tuple(lines))
