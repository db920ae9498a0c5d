"""Read what third parties verify: heads, tiles, entries and proofs. Methods block; each answer is one snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from domain.body import BodyFormat
from domain.errors import (
    EventAlteredError,
    LogInconsistentError,
    ProofError,
    Reason,
    RejectedError,
    UnwitnessedError,
)
from domain.tree_head import ConsistencyProof, InclusionProof, SignedTreeHead
from event_store.binary_copy import UNIX_EPOCH_US, to_us
from event_store.database import Connection, Cursor, Database
from event_store.entry import encode_entry
from event_store.heads import (
    StoredHead,
    first_sizes,
    head_at,
    head_covering,
    newest_head,
    stored_keys,
    witnesses,
)
from event_store.merkle import TILE_WIDTH, leaf_hash
from event_store.quorum import satisfying_head
from event_store.statements import load
from event_store.stored_tree import StoredTree
from event_store.tlog.notes import Note, VerifierKey, verified
from event_store.tlog.policy import Policy
from event_store.tlog.proof_files import encode_proof
from event_store.tlog.proofs import consistency_proof, inclusion_nodes, root_at, verify_inclusion
from event_store.tlog.tiles import encode_entries
from event_store.tlog.tree_heads import TreeHead

_SQL = load(__package__, "log_reader.sql")


class LogReader:
    """Reads heads, tiles, entries and proofs. `policy` is what the heads for third parties have to satisfy."""

    def __init__(self, database: Database, policy: Policy | None = None) -> None:
        self._database = database
        self.policy = policy

    def checkpoint(self) -> bytes | None:
        """The newest signed head that satisfies the policy, with its cosignatures, as C2SP tlog-checkpoint.

        None before the log was signed at all. Raises `UnwitnessedError` when no head satisfies the policy.
        """
        with self._database.transaction(read_only=True) as connection:
            newest = newest_head(connection)
            if newest is None or self.policy is None:
                return None if newest is None else newest.checkpoint
            head = satisfying_head(connection, self.policy)
        if head is None:
            raise UnwitnessedError(
                "no signed head satisfies the witness policy yet; /log/newest-checkpoint has the newest head"
            )
        return head.checkpoint

    def newest_checkpoint(self) -> bytes | None:
        """The newest signed head, whoever has cosigned it; None before the log was signed at all."""
        with self._database.transaction(read_only=True) as connection:
            head = newest_head(connection)
        return None if head is None else head.checkpoint

    def keys(self) -> list[VerifierKey]:
        """The public keys of the log, the oldest first."""
        with self._database.transaction(read_only=True) as connection:
            return stored_keys(connection)

    def first_sizes(self) -> list[tuple[int, VerifierKey]]:
        """The public keys of the log, each with the size of the first tree that it may have signed."""
        with self._database.transaction(read_only=True) as connection:
            return first_sizes(connection)

    def signing_keys(self) -> list[VerifierKey]:
        """The public keys that signed the newest head; none before the first append."""
        with self._database.transaction(read_only=True) as connection:
            head = newest_head(connection)
            keys = stored_keys(connection)
        return [] if head is None else verified(Note.parse(head.note), keys)

    def tree_head(self, size: int | None = None) -> SignedTreeHead | None:
        """The newest signed head, or that of exactly `size`; None when there is none.

        A head is signed when a batch ends, so not every size has one. Raises `RejectedError` for a size beyond the log.
        """
        with self._database.transaction(read_only=True) as connection:
            if size is not None:
                _require_size(StoredTree(connection), size, "size")
            head = newest_head(connection) if size is None else head_at(connection, size)
            return None if head is None else _signed(connection, head)

    def oldest(self) -> tuple[int, datetime] | None:
        """The position of the first event that the database holds, and when it was recorded; None for an empty log."""
        with self._database.transaction(read_only=True) as connection, connection.cursor() as cursor:
            cursor.execute(_SQL["oldest"])
            row = cursor.fetchone()
        return None if row is None else (row[0], row[1])

    def tile(self, level: int, index: int, width: int = TILE_WIDTH) -> bytes | None:
        """The hashes of a tile, full or partial; None beyond the end of the log."""
        with self._database.transaction(read_only=True) as connection:
            return StoredTree(connection).tile(level, index, width)

    def entries(self, index: int, width: int = TILE_WIDTH) -> bytes | None:
        """The entry bundle of the level-0 tile `index`; None beyond the end of the log."""
        first = index * TILE_WIDTH
        with self._database.transaction(read_only=True) as connection:
            if first + width > StoredTree(connection).size:
                return None
            return encode_entries(read_entries(connection, first, first + width))

    def inclusion_proof(self, position: int, tree_size: int | None = None) -> InclusionProof:
        """Proof that `position` is in the tree of `tree_size` (default: the newest signed tree).

        Raises `RejectedError` when the log does not have that tree or the tree does not contain the position, and
        `EventAlteredError` when the stored event differs from the tree.
        """
        (proof,) = self.inclusion_proofs([(position, tree_size)])
        if isinstance(proof, RejectedError | EventAlteredError):
            raise proof
        return proof

    def inclusion_proofs(
        self, requested: Sequence[tuple[int, int | None]]
    ) -> list[InclusionProof | RejectedError | EventAlteredError]:
        """`inclusion_proof` for many (position, tree size) in one snapshot. An error takes the place of its proof."""
        with self._database.transaction(read_only=True) as connection:
            tree = StoredTree(connection)
            sized = [(position, tree.size if size is None else size) for position, size in requested]
            refused = [_refusal(tree, *each) for each in sized]
            made = iter(
                _checked(connection, tree, [e for e, no in zip(sized, refused, strict=True) if no is None])
            )
            return [next(made) if no is None else no for no in refused]

    def consistency_proof(self, first: int, second: int) -> ConsistencyProof:
        """Proof that the tree of `second` entries extends that of `first`. Raises `RejectedError` for other sizes."""
        with self._database.transaction(read_only=True) as connection:
            tree = StoredTree(connection)
            _require_size(tree, second, "to")
            if not 0 <= first <= second:
                raise RejectedError(Reason.INVALID_FIELD, f"must be from 0 to {second}", field="from")
            return ConsistencyProof(
                first_size=first,
                second_size=second,
                first_root=root_at(first, tree.nodes),
                second_root=root_at(second, tree.nodes),
                hashes=tuple(consistency_proof(first, second, tree.nodes)),
            )

    def proof_file(self, event_id: UUID, *, newest: bool = False) -> bytes | None:
        """The C2SP tlog-proof of an event; None when the event does not exist.

        It refers to the newest head that satisfies the policy. Raises `UnwitnessedError` if that does not cover the
        event. Without a policy, it refers to the newest cosigned head if that covers the event, else to the newest
        head. With `newest`, it always refers to the newest head.
        """
        with self._database.transaction(read_only=True) as connection:
            with connection.cursor() as cursor:
                wanted = {"event_id": event_id, "aggregate": int(BodyFormat.AGGREGATE)}
                cursor.execute(_SQL["position"], wanted)
                row = cursor.fetchone()
            if row is None:
                return None
            head = self._head_of_proof(connection, row[0], newest=newest)
            if head is None:
                raise LogInconsistentError("the log has events and no signed head")
            (proof,) = prove(connection, StoredTree(connection), [(row[0], head.size)])
            if proof.root != head.root:
                raise LogInconsistentError(f"the tree of {head.size} events differs from the signed one")
            return encode_proof(row[0], proof.hashes, head.checkpoint, proof.entry)

    def _head_of_proof(self, connection: Connection, position: int, *, newest: bool) -> StoredHead | None:
        if newest:
            return newest_head(connection)
        if self.policy is None:
            return head_covering(connection, position)
        head = satisfying_head(connection, self.policy, after=position)
        if head is None:
            raise UnwitnessedError(
                f"no signed head that covers position {position} satisfies the witness policy yet; try again, or"
                " ask for the proof to the newest head (head=newest)"
            )
        return head


def read_entries(connection: Connection, first: int, until: int) -> list[bytes]:
    """The leaf entries of the positions from `first` to `until`, exclusive."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["entries_between"], {"first": first, "until": until})
        entries = _entries(cursor)
    if len(entries) != until - first:
        raise LogInconsistentError(f"a position from {first} to {until - 1} is missing from the log")
    return list(entries.values())


def prove(
    connection: Connection, tree: StoredTree, requested: Sequence[tuple[int, int]]
) -> list[InclusionProof]:
    """The inclusion proofs of many (position, tree size); the tree must have each size.

    The number of statements is small and independent of the number of proofs: one for the entries, one for the tiles,
    one more for each size. Raises `EventAlteredError` for the first event that differs from the tree: every returned
    proof verifies.
    """
    proofs = []
    for proof in _checked(connection, tree, requested):
        if isinstance(proof, EventAlteredError):
            raise proof
        proofs.append(proof)
    return proofs


def _checked(
    connection: Connection, tree: StoredTree, requested: Sequence[tuple[int, int]]
) -> list[InclusionProof | EventAlteredError]:
    return [
        proof if _verifies(proof) else EventAlteredError(proof.leaf_index)
        for proof in _proofs(connection, tree, requested)
    ]


def _verifies(proof: InclusionProof) -> bool:
    try:
        verify_inclusion(proof.leaf_index, proof.tree_size, proof.leaf_hash, proof.hashes, proof.root)
    except ProofError:
        return False
    return True


def _proofs(
    connection: Connection, tree: StoredTree, requested: Sequence[tuple[int, int]]
) -> list[InclusionProof]:
    with connection.cursor() as cursor:
        cursor.execute(_SQL["entries_at"], {"positions": list({position for position, _ in requested})})
        entries = _entries(cursor)
    missing = next((position for position, _ in requested if position not in entries), None)
    if missing is not None:
        raise LogInconsistentError(f"position {missing} is missing from the log")
    plans = [inclusion_nodes(*each) for each in requested]
    hashes = iter(tree.nodes([subtree for plan in plans for subtree in plan.subtrees]))
    roots = {size: root_at(size, tree.nodes) for _, size in requested}
    return [
        InclusionProof(
            leaf_index=position,
            tree_size=size,
            leaf_hash=leaf_hash(entries[position]),
            hashes=tuple(plan.proof([next(hashes) for _ in plan.subtrees])),
            root=roots[size],
            entry=entries[position],
        )
        for (position, size), plan in zip(requested, plans, strict=True)
    ]


def _entries(cursor: Cursor) -> dict[int, bytes]:
    return {
        position: encode_entry(
            position, event_id.hex, to_us(at) + UNIX_EPOCH_US, stream.hex, stream_position, format, digest
        )
        for position, event_id, at, stream, stream_position, format, digest in cursor.fetchall()
    }


def _refusal(tree: StoredTree, position: int, size: int) -> RejectedError | None:
    try:
        _require_size(tree, size, "treeSize")
    except RejectedError as exc:
        return exc
    if 0 <= position < size:
        return None
    return RejectedError(
        Reason.INVALID_FIELD, f"that tree does not contain position {position}", field="treeSize"
    )


def _require_size(tree: StoredTree, size: int, field: str) -> None:
    if not 0 <= size <= tree.size:
        raise RejectedError(
            Reason.INVALID_FIELD, f"the log has {tree.size} events: from 0 to {tree.size}", field=field
        )


def _signed(connection: Connection, head: StoredHead) -> SignedTreeHead:
    origin = TreeHead.parse(Note.parse(head.note).text).origin
    return SignedTreeHead(
        origin=origin,
        size=head.size,
        root=head.root,
        signed_at=head.signed_at,
        checkpoint=head.checkpoint.decode(),
        cosigned_by=tuple(witness.encode() for witness in witnesses(connection, head.size)),
    )
