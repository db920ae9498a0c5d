"""The context of one GraphQL operation: the read models and the proofs within its principal's scope."""

from __future__ import annotations

from typing import Any

from domain.access.principal import Principal
from event_store.log_reader import LogReader
from graphql_api.context import Context
from queries.scoped.log import ScopedLog
from queries.scoped.read_models import ScopedModels
from web.access import Access, is_decided, query_log_of
from web.read_audit.access_record import AccessRecord


async def open_context(
    access: Access,
    principal: Principal | None,
    record: AccessRecord | None,
    log: LogReader,
    *others: Any,
    **options: Any,
) -> Context:
    """The context of one operation; `others` and `options` are those of `Context`."""
    scope = await access.scope(principal)
    query_log = query_log_of(record)

    async def refresh() -> ScopedModels:
        return access.scoped(await access.scope(principal), query_log)

    return Context(
        access.scoped(scope, query_log),
        ScopedLog(log, scope),
        *others,
        principal=principal,
        record=record,
        refresh=refresh if is_decided(principal) else None,
        **options,
    )
