"""What each request may read: the read models, the log and exports as its principal may use them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

from starlette.requests import HTTPConnection, Request

from domain.access.grants import Operation
from domain.access.principal import Principal, Role
from domain.access.scope import Scope
from domain.errors import AuditTrailError
from domain.event import ActorKind
from domain.read_audit.query_log import QueryLog
from queries.read_models import ReadModels
from queries.scoped.export import Opening, ScopedExports
from queries.scoped.read_models import ScopedModels
from queries.staff_disclosures import StaffDisclosures
from queries.thread_pool import Threads
from web.authentication.middleware import principal_of
from web.read_audit.access_record import AccessRecord, access_record_of

NOBODY = Principal(id="", roles=frozenset(), kind=ActorKind.UNKNOWN)


class Access:
    """Asked once for each request, or operation of a WebSocket, by whatever answers it."""

    def __init__(self, models: ReadModels, threads: Threads) -> None:
        self._models = models
        self._threads = threads
        self._disclosures = StaffDisclosures(models)

    async def scope(self, principal: Principal | None) -> Scope:
        """What a principal may do and see. Nobody may do anything."""
        if principal is None:
            return Scope(NOBODY)
        if not is_decided(principal):
            return Scope(principal)
        return Scope(principal, sees_staff=await self._seeing_staff(principal.patients))

    async def _seeing_staff(self, patients: tuple[str, ...]) -> Collection[str]:
        found = self._disclosures.known(patients)
        if found is not None:
            return found
        try:
            return await self._threads.run(self._disclosures.seen_by, patients)
        except AuditTrailError:
            return ()  # what comes next will say what is the matter

    async def scope_of(self, connection: HTTPConnection) -> Scope:
        """What who asks may do and see."""
        return await self.scope(principal_of(connection.scope))

    async def require(self, connection: HTTPConnection, operation: Operation) -> None:
        """Raise `AccessDeniedError` unless who asks may do this."""
        (await self.scope_of(connection)).require(operation)

    def needing(self, operation: Operation) -> Callable[[Request], Awaitable[None]]:
        """A dependency of routes that raises `AccessDeniedError` unless who asks may do this."""

        async def needed(request: Request) -> None:
            await self.require(request, operation)

        return needed

    def scoped(self, scope: Scope, query_log: QueryLog) -> ScopedModels:
        """The read models within `scope`; queries are noted in `reads`."""
        return ScopedModels(self._models, scope, query_log)

    async def models_of(self, connection: HTTPConnection) -> ScopedModels:
        """The read models for one request. What it reads is noted for the record of reads, where there is one."""
        return self.scoped(await self.scope_of(connection), query_log_of(access_record_of(connection)))

    async def exports_of(self, connection: HTTPConnection, exports: Opening) -> ScopedExports:
        """Exports for one request."""
        scope = await self.scope_of(connection)
        return ScopedExports(exports, self._models, scope, query_log_of(access_record_of(connection)))


def query_log_of(record: AccessRecord | None) -> QueryLog:
    """Where the questions of a request are noted, which go nowhere where reads are not recorded."""
    return QueryLog() if record is None else record.query_log


def is_decided(principal: Principal | None) -> bool:
    """Whether what a principal sees depends on decisions, which come and end."""
    return principal is not None and Role.PATIENT in principal.roles and bool(principal.patients)
