"""What each request may read: the read models, the log and exports as its principal may use them."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import HTTPConnection

from domain.access.grants import Operation
from domain.access.principal import Principal
from domain.access.reads import Reads
from domain.access.scope import Scope
from domain.errors import AccessDeniedError, EventAlteredError, RejectedError
from domain.tree_head import ConsistencyProof, InclusionProof, SignedTreeHead
from graphql_api.context import ProvableLog
from projections.read_models import ReadModels
from projections.scoped import ScopedModels
from projections.scoped_export import Opening, ScopedExports
from web.authentication.middleware import principal_of
from web.looking import looking_at


class Access:
    """Asked once for each request, or operation of a WebSocket, by whatever answers it."""

    def __init__(self, models: ReadModels) -> None:
        self._models = models

    async def scope(self, principal: Principal | None) -> Scope:
        """Raises `AccessDeniedError` for nobody: every way in needs a principal, unless it is open by setting."""
        if principal is None:
            raise AccessDeniedError("")
        return Scope(principal)

    async def scope_of(self, connection: HTTPConnection) -> Scope:
        """What who asks may do and see."""
        return await self.scope(principal_of(connection.scope))

    async def require(self, connection: HTTPConnection, operation: Operation) -> None:
        """Raise `AccessDeniedError` unless who asks may do this."""
        (await self.scope_of(connection)).require(operation)

    async def models_of(self, connection: HTTPConnection) -> ScopedModels:
        """The read models for one request. What it reads is noted for the record of reads, where there is one."""
        looking = looking_at(connection)
        reads = Reads() if looking is None else looking.reads
        return self.models(await self.scope_of(connection), reads)

    def models(self, scope: Scope, reads: Reads) -> ScopedModels:
        """The read models in `scope`."""
        return ScopedModels(self._models, scope, reads)

    async def exports_of(self, connection: HTTPConnection, exports: Opening) -> ScopedExports:
        """Exports for one request."""
        return ScopedExports(exports, self._models, await self.scope_of(connection))


class ScopedLog:
    """The log's proofs. One of an event is only asked for by who holds the event: see `graphql_api.event_type`."""

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
