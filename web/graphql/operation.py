"""What one GraphQL operation reads through: the read models and the proofs within its principal's scope."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from domain.access.grants import Operation
from domain.access.principal import Principal
from domain.access.scope import Scope
from domain.errors import EventAlteredError, RejectedError
from domain.tree_head import ConsistencyProof, InclusionProof, SignedTreeHead
from graphql_api.context import Context, ProvableLog
from queries.scoped.read_models import ScopedModels
from web.access import Access, is_decided, reads_of
from web.read_audit.access_record import Looking


async def open_context(
    access: Access,
    principal: Principal | None,
    looking: Looking | None,
    log: ProvableLog,
    *others: Any,
    **options: Any,
) -> Context:
    """The context of one operation; `others` and `options` are those of `Context`."""
    scope = await access.scope(principal)
    reads = reads_of(looking)

    async def anew() -> ScopedModels:
        return access.scoped(await access.scope(principal), reads)

    return Context(
        access.scoped(scope, reads),
        ScopedLog(log, scope),
        *others,
        principal=principal,
        record=looking,
        anew=anew if is_decided(principal) else None,
        **options,
    )


class ScopedLog:
    """The log's proofs. One of an event is only asked for by who holds the event: see `graphql_api.types.event`."""

    def __init__(self, log: ProvableLog, scope: Scope) -> None:
        self._log = log
        self._scope = scope

    def tree_head(self, size: int | None = None) -> SignedTreeHead | None:
        """See LogReader. Raises `AccessDeniedError`."""
        self._scope.require(Operation.READ_PROOFS)
        return self._log.tree_head(size)

    def inclusion_proofs(
        self, wanted: Sequence[tuple[int, int | None]]
    ) -> list[InclusionProof | RejectedError | EventAlteredError]:
        """See LogReader."""
        self._scope.require(Operation.READ_EVENTS)
        return self._log.inclusion_proofs(wanted)

    def consistency_proof(self, first: int, second: int) -> ConsistencyProof:
        """See LogReader. Raises `AccessDeniedError`."""
        self._scope.require(Operation.READ_PROOFS)
        return self._log.consistency_proof(first, second)
