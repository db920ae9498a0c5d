"""Fork detection: every published head must be a prefix of the log in the database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from domain.errors import ForkedError, ProofError
from event_store.database import Database
from event_store.publication.destination import Destination
from event_store.stored_tree import StoredTree
from event_store.tlog.notes import VerifierKey
from event_store.tlog.proofs import root_at
from event_store.tlog.tree_heads import TreeHead, open_head


def refuse_forks(database: Database, keys: Sequence[VerifierKey], places: Iterable[Destination]) -> None:
    """Raise `ForkedError` when the log does not continue a head published in one of `places`.

    Only heads count that carry the log's name and a signature by one of its `keys` (the first key names the log).
    Anyone may write to a folder or a topic, and a log that was renamed after a restore is another log.
    """
    own = [key for key in keys if key.name == keys[0].name]
    for place in places:
        heads = [head for note in place.published() for head in _opened(note, own)]
        if heads:
            refuse_fork(database, max(heads, key=lambda head: head.size), place.name)


def refuse_fork(database: Database, head: TreeHead, place: str) -> None:
    """Raise `ForkedError` unless the log begins with the tree of `head`."""
    size = forked_at(database, head)
    if size is None:
        return
    if head.size > size:
        what = (
            f"the log has {size} events, but a head of {head.size} was published ({place}): its tail is gone,"
            " or the database was restored from an older backup. Nothing is appended or published;"
            ' see "After a restore" in docs/how-to/tamper-evidence.md'
        )
    else:
        what = (
            f"the first {head.size} events differ from those of a published head ({place}):"
            " the log was rewritten. Nothing is appended or published; run `audit-trail verify`"
        )
    raise ForkedError(what, head.size, head.root)


def forked_at(database: Database, head: TreeHead) -> int | None:
    """None when the log begins with the tree of `head`; otherwise the size of the log."""
    with database.transaction(read_only=True) as connection:
        tree = StoredTree(connection)
        if head.size <= tree.size and root_at(head.size, tree.nodes) == head.root:
            return None
        return tree.size


def _opened(note: bytes, keys: Sequence[VerifierKey]) -> list[TreeHead]:
    try:
        head, _ = open_head(note, keys)
    except ProofError:
        return []
    return [head] if head.origin == keys[0].name else []
