"""The log's proofs as one principal may read them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from domain.access.grants import Operation
from domain.access.scope import Scope
from domain.errors import EventAlteredError, RejectedError
from domain.tree_head import ConsistencyProof, InclusionProof, SignedTreeHead
from event_store.log_reader import LogReader


class ScopedLog:
    """The proofs of `LogReader`.

    Every method blocks, and raises `AccessDeniedError` unless the principal may read proofs.
    """

    def __init__(self, log: LogReader, scope: Scope) -> None:
        self._log = log
        self._scope = scope

    def tree_head(self, size: int | None = None) -> SignedTreeHead | None:
        """The newest signed head, or that of `size`."""
        self._scope.require(Operation.READ_PROOFS)
        return self._log.tree_head(size)

    def oldest(self) -> tuple[int, datetime] | None:
        """The position of the oldest event and its time of recording, which its leaf entry tells too."""
        self._scope.require(Operation.READ_PROOFS)
        return self._log.oldest()

    def inclusion_proofs(
        self, wanted: Sequence[tuple[int, int | None]]
    ) -> list[InclusionProof | RejectedError | EventAlteredError]:
        """Proofs of positions, each in the tree of a size. You can fetch a proof only for an event that you can see."""
        self._scope.require(Operation.READ_EVENTS)
        return self._log.inclusion_proofs(wanted)

    def consistency_proof(self, first: int, second: int) -> ConsistencyProof:
        """The proof that the tree of size `second` extends that of `first`."""
        self._scope.require(Operation.READ_PROOFS)
        return self._log.consistency_proof(first, second)
