"""Contexts of a principal who sees everything."""

from __future__ import annotations

from domain.access.principal import Principal, Role
from domain.access.scope import Scope
from domain.read_audit.query_log import QueryLog
from event_store.log_reader import LogReader
from graphql_api.context import Context
from queries.limits import QueryLimits
from queries.read_models import ReadModels
from queries.scoped.log import ScopedLog
from queries.scoped.read_models import ScopedModels
from queries.thread_pool import Threads

EVERYTHING = Scope(Principal(id="tester", roles=frozenset({Role.ADMIN})))


def everything(models: ReadModels) -> ScopedModels:
    """The read models without any restriction."""
    return ScopedModels(models, EVERYTHING, QueryLog())


def context_of(
    models: ReadModels | ScopedModels, log: LogReader, threads: Threads, limits: QueryLimits
) -> Context:
    """The context of one request."""
    scoped = everything(models) if isinstance(models, ReadModels) else models
    return Context(scoped, ScopedLog(log, EVERYTHING), threads, limits)
