"""The first signature of a log: of an empty one, or of one that a release wrote which did not sign."""

from __future__ import annotations

from domain.errors import ConfigurationError, LogInconsistentError
from event_store.database import Connection, Database
from event_store.heads import insert_head, insert_keys, newest_head
from event_store.log_reader import read_entries
from event_store.merkle import EMPTY_ROOT, TILE_WIDTH, Edge, leaf_hash
from event_store.signing import HeadSigner
from event_store.statements import load
from event_store.stored_tree import StoredTree
from event_store.tlog.tree_heads import TreeHead

_SQL = load(__package__, "append.sql")


def adopt(database: Database, signer: HeadSigner) -> TreeHead:
    """Recompute the tree from the rows, and sign it if it equals the stored tree. The lock keeps appends out.

    Raises `ConfigurationError` when the log has a signed head already, and `LogInconsistentError` when rows and tree
    differ.
    """
    with database.transaction() as connection:
        size = _locked_size(connection)
        if newest_head(connection) is not None:
            raise ConfigurationError("the log is signed already")
        stored = StoredTree(connection)
        edge = Edge(0)
        for first in range(0, stored.size, TILE_WIDTH):
            until = min(first + TILE_WIDTH, stored.size)
            for tile in edge.extend([leaf_hash(entry) for entry in read_entries(connection, first, until)]):
                if stored.tile(tile.level, tile.number) != tile.hashes:
                    raise LogInconsistentError(f"tile {tile.level}/{tile.number} does not match its events")
        if edge.pack() != stored.edge.pack() or edge.root() != stored.root:
            raise LogInconsistentError("the log's state does not match its events")
        _insert_first(connection, signer, size, stored.root)
        return TreeHead(signer.origin, stored.size, stored.root)


def sign_empty(database: Database, signer: HeadSigner) -> bool:
    """Sign the head of a log without events, unless it is signed already. Returns whether it was signed now.

    So a new log has a head that a witness can cosign and a monitor can read, before its first event.
    """
    with database.transaction() as connection:
        if _locked_size(connection) > 0 or newest_head(connection) is not None:
            return False
        _insert_first(connection, signer, 0, EMPTY_ROOT)
        return True


def _locked_size(connection: Connection) -> int:
    """Take the lock that orders all appends. Returns the size of the log."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["lock"])
        row = cursor.fetchone()
    if row is None:
        raise LogInconsistentError("the log has no state row: restore it from a backup")
    return int(row[0])


def _insert_first(connection: Connection, signer: HeadSigner, size: int, root: bytes) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_SQL["clock"], {"last": size - 1})
        [(now, *_)] = cursor.fetchall()
        insert_keys(cursor, signer.verifiers, size)
        insert_head(cursor, size, root, now, signer.sign(size, root))
