"""Stored tree heads: one for each batch, the public keys, and the cosignatures of witnesses."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from event_store.database import Connection, Cursor, only
from event_store.tlog.notes import Note, VerifierKey

MAX_HEAD_BYTES = 64 << 10
"""The maximum size of a signed head with all its cosignatures. Longer data is not a head."""


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


def insert_head(cursor: Cursor, size: int, root: bytes, signed_at: datetime, note: Note) -> None:
    """Insert a head. Only the append does this, under its lock."""
    cursor.execute(
        "INSERT INTO audit_trail.tree_head (size, root, signed_at, note) VALUES (%s, %s, %s, %s)",
        (size, root, signed_at, note.encode().decode()),
    )


def insert_keys(cursor: Cursor, keys: Sequence[VerifierKey], size: int) -> int:
    """Insert the public keys that sign heads from `size` on. Returns the number of new keys."""
    added = 0
    for key in keys:
        cursor.execute(
            "INSERT INTO audit_trail.log_key (vkey, first_size) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            (key.encode(), size),
        )
        added += cursor.rowcount
    return added


def stored_keys(connection: Connection) -> list[VerifierKey]:
    """The public keys of the log, the oldest first."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT vkey FROM audit_trail.log_key ORDER BY first_size, added_at, vkey")
        return [VerifierKey.parse(vkey) for (vkey,) in cursor.fetchall()]


_HEAD = (
    "SELECT head.size, head.root, head.signed_at, head.note, ARRAY(SELECT line FROM audit_trail.cosignature"
    " WHERE cosignature.size = head.size ORDER BY received_at, vkey) FROM audit_trail.tree_head AS head"
)


def newest_head(connection: Connection) -> StoredHead | None:
    """The head of the largest tree."""
    return _one(connection, f"{_HEAD} ORDER BY head.size DESC LIMIT 1")


def head_at(connection: Connection, size: int) -> StoredHead | None:
    """The head of the tree of exactly `size` leaves; one exists for every size at which a batch ended."""
    return _one(connection, f"{_HEAD} WHERE head.size = %s", (size,))


def head_covering(connection: Connection, position: int) -> StoredHead | None:
    """The newest cosigned head if it covers `position`, else the newest head."""
    found = _one(
        connection,
        f"{_HEAD} WHERE head.size > %s AND head.size = (SELECT max(size) FROM audit_trail.cosignature)",
        (position,),
    )
    return found or newest_head(connection)


def add_cosignature(connection: Connection, size: int, witness: VerifierKey, line: str) -> None:
    """Insert a witness's cosignature, once."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_trail.cosignature (size, vkey, line) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (size, witness.encode(), line),
        )


def largest_cosigned(connection: Connection, witness: VerifierKey) -> int:
    """The size of the largest head with a cosignature of this witness; 0 when there is none."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(max(size), 0) FROM audit_trail.cosignature WHERE vkey = %s", (witness.encode(),)
        )
        return int(only(cursor))


def _one(connection: Connection, statement: str, parameters: tuple[object, ...] = ()) -> StoredHead | None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        row = cursor.fetchone()
    if row is None:
        return None
    size, root, signed_at, note, lines = row
    return StoredHead(size, bytes(root), signed_at, note.encode(), tuple(lines))
