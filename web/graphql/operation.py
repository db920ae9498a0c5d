"""What one GraphQL operation reads through: the read models and the proofs within its principal's scope."""

from __future__ import annotations

from typing import Any

from domain.access.principal import Principal
from event_store.log_reader import LogReader
from graphql_api.context import Context
from queries.scoped.log import ScopedLog
from queries.scoped.read_models import ScopedModels
from web.access import Access, is_decided, reads_of
from web.read_audit.access_record import Looking


async def open_context(
    access: Access,
    principal: Principal | None,
    looking: Looking | None,
    log: LogReader,
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
