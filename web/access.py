"""The read models and exports within the scope of each request's principal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

from starlette.requests import HTTPConnection, Request

from domain.access.grants import Operation
from domain.access.principal import Principal, Role
from domain.access.scope import Scope
from domain.errors import AuditTrailError
from domain.event import ActorKind
from domain.read_audit.query_log import QueryLog
from queries.export.request import ExportRequest
from queries.filters.event_filter import EventFilter
from queries.read_models import ReadModels
from queries.scoped.export import ScopedExport
from queries.scoped.read_models import ScopedModels
from queries.staff_disclosures import StaffDisclosures
from queries.thread_pool import Threads
from web.authentication.middleware import principal_of
from web.read_audit.access_record import AccessRecord, access_record_of

NOBODY = Principal(id="", roles=frozenset(), kind=ActorKind.UNKNOWN)


class Access:
    """Makes the scope of each request, and of each operation of a WebSocket."""

    def __init__(self, models: ReadModels, threads: Threads) -> None:
        self._models = models
        self._threads = threads
        self._disclosures = StaffDisclosures(models)

    async def scope(self, principal: Principal | None) -> Scope:
        """What a principal may do and see. Without a principal: nothing."""
        if principal is None:
            return Scope(NOBODY)
        if not is_decided(principal):
            return Scope(principal)
        return Scope(principal, sees_staff=await self._patients_with_staff(principal.patients))

    async def _patients_with_staff(self, patients: tuple[str, ...]) -> Collection[str]:
        found = self._disclosures.known(patients)
        if found is not None:
            return found
        try:
            return await self._threads.run(self._disclosures.seen_by, patients)
        except AuditTrailError:
            return ()  # the next query reports the failure

    async def scope_of(self, connection: HTTPConnection) -> Scope:
        """The scope of the connection's principal."""
        return await self.scope(principal_of(connection.scope))

    async def require(self, connection: HTTPConnection, operation: Operation) -> None:
        """Raise `AccessDeniedError` unless the principal may do this."""
        (await self.scope_of(connection)).require(operation)

    def dependency(self, operation: Operation) -> Callable[[Request], Awaitable[None]]:
        """A dependency of routes that raises `AccessDeniedError` unless the principal may do this."""

        async def check(request: Request) -> None:
            await self.require(request, operation)

        return check

    def scoped(self, scope: Scope, query_log: QueryLog, only: EventFilter | None = None) -> ScopedModels:
        """The read models within `scope`, and within `only`; queries are added to `query_log`."""
        return ScopedModels(self._models, scope, query_log, only)

    async def models_of(self, connection: HTTPConnection) -> ScopedModels:
        """The read models for one request. Its queries are added to its access record, if there is one."""
        return self.scoped(await self.scope_of(connection), query_log_of(access_record_of(connection)))

    async def export_of(self, connection: HTTPConnection, request: ExportRequest) -> ScopedExport:
        """An export for one request. Raises `AccessDeniedError`."""
        scope = await self.scope_of(connection)
        return ScopedExport(request, scope, query_log_of(access_record_of(connection)))


def query_log_of(record: AccessRecord | None) -> QueryLog:
    """The query log of an access record; a discarded one if reads are not recorded."""
    return QueryLog() if record is None else record.query_log


def is_decided(principal: Principal | None) -> bool:
    """Whether a principal's scope depends on staff disclosure decisions, which can change at any time."""
    return principal is not None and Role.PATIENT in principal.roles and bool(principal.patients)
