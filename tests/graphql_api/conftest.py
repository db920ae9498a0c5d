"""The schema on a real trail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from strawberry.types import ExecutionResult

from event_store.database import READER, Database
from event_store.log_reader import LogReader
from graphql_api.schema import make_schema
from queries.limits import QueryLimits
from queries.read_models import ReadModels
from queries.thread_pool import Threads
from tests.graphql_api.contexts import context_of
from tests.graphql_api.execution.both_executors import Both, Directly

DEFAULTS = QueryLimits()
NO_LOG = LogReader(Database("postgresql://localhost:1/none", None))
Execute = Callable[..., ExecutionResult]


@pytest.fixture
def models(hospital_url: str) -> Iterator[ReadModels]:
    """The read models of the hospital's morning."""
    with closing(Database(hospital_url, READER, size=2)) as database:
        yield ReadModels(database)


@pytest.fixture
def execute() -> Iterator[Execute]:
    """`execute(models, query, log=..., limits=..., **variables)`: the result of one request."""
    with closing(Threads(2)) as threads:

        def run(
            models: ReadModels,
            query: str,
            *,
            log: LogReader = NO_LOG,
            limits: QueryLimits = DEFAULTS,
            **variables: Any,
        ) -> ExecutionResult:
            request = make_schema(limits).execute(
                query, variable_values=variables, context_value=context_of(models, log, threads, limits)
            )
            return asyncio.run(request)

        yield run


@pytest.fixture
def unread() -> ReadModels:
    """Read models whose database is away: what is refused before reading must not notice."""
    return ReadModels(Database("postgresql://localhost:1/none", None))


@pytest.fixture
def both(hospital_url: str) -> Iterator[Both]:
    """Both executors on the hospital's morning."""
    with closing(Database(hospital_url, READER, size=2)) as database, closing(Directly(1)) as threads:
        yield Both(database, threads)
