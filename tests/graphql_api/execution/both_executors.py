"""Two executors on one trail, compiled and not, and values that a store never holds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Generator
from typing import Any, ParamSpec, TypeVar

import msgspec
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.types import ExecutionResult

from domain.read_audit.query_log import QueryLog
from event_store.database import Database
from event_store.log_reader import LogReader
from graphql_api.execution.executor import CompilingExecutor
from graphql_api.execution.json_response import encode, written
from graphql_api.schema import AuditTrailSchema, make_schema
from queries.filters.event_filter import EventPage, PageRequest
from queries.limits import QueryLimits
from queries.read_models import ReadModels
from queries.scoped.read_models import ScopedModels
from queries.search.prepared import PreparedQuery
from queries.thread_pool import Threads
from tests.graphql_api.contexts import EVERYTHING, context_of
from tests.graphql_api.execution.random_queries import Query

P = ParamSpec("P")
T = TypeVar("T")
LIMITS = QueryLimits(max_depth=20, max_aliases=1000, max_directives=1000, max_tokens=20000, max_events=10**6)


class Raising:
    """An object with no attribute that can be read."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"{name} can't be read")


class Directly(Threads):
    """Runs each call at once: of fields that wait for threads, which fails first is a matter of luck."""

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return function(*args, **kwargs)


class Later:
    """Something to wait for."""

    def __await__(self) -> Generator[None, None, str]:
        yield
        return "later"


WRONG: dict[str, Callable[[], Any]] = {
    "nothing": lambda: None,
    "an error": lambda: ValueError("wrong"),
    "a word": lambda: "nonsense",
    "a number": lambda: 3,
    "a large number": lambda: 2**40,
    "a huge number": lambda: 2**80,
    "no number": lambda: float("nan"),
    "yes": lambda: True,
    "a list": lambda: ["x", None, 1],
    "an iterator": lambda: iter(["x"]),
    "an object": object,
    "raising": Raising,
    "raising ones": lambda: (Raising(), None),
    "awaitable": Later,
    "a mapping": lambda: {"id": "x", "kind": "USER"},
}
"""Values that the store never holds, made anew for each execution."""
UNLIKE = {"an iterator", "an object", "raising", "raising ones", "awaitable"}
"""Those whose text has their address in memory, which a cursor, or the id of an event, repeats."""


class Wrong(ScopedModels):
    """The read models, with wrong values in their pages of events: by number in the page, field and value."""

    def __init__(self, database: Database, wrong: list[tuple[int, str, str]]) -> None:
        super().__init__(ReadModels(database), EVERYTHING, QueryLog())
        self._wrong = wrong

    def events(self, query: PreparedQuery, page: PageRequest) -> EventPage:
        found = super().events(query, page)
        for number, path, value in self._wrong:
            if number < len(found.events):
                found.events[number] = put(found.events[number], path.split("."), WRONG[value]())
        return found


def put(struct: Any, path: list[str], value: Any) -> Any:
    """`struct` with another value at `path`; as it is where it has nothing there."""
    name, *inner = path
    if not isinstance(struct, msgspec.Struct):
        return struct
    made = put(getattr(struct, name), inner, value) if inner else value
    return msgspec.structs.replace(struct, **{name: made})


class Both:
    """The same schema with the compiling executor and with the library's own, on one trail."""

    def __init__(self, database: Database, threads: Threads) -> None:
        self.ours, self.theirs = make_schema(LIMITS), make_schema(LIMITS)
        self.theirs.execution_context_class = StrawberryGraphQLCoreExecutionContext
        for schema in (self.ours, self.theirs):
            schema.masks = False  # the words of unexpected errors are compared too
        self.database = database
        self.threads = threads

    async def ask(
        self, schema: AuditTrailSchema, query: Query, wrong: list[tuple[int, str, str]]
    ) -> ExecutionResult:
        context = context_of(Wrong(self.database, wrong), LogReader(self.database), self.threads, LIMITS)
        return await schema.execute(query.text, query.variables, context_value=context)

    def answers(self, query: Query, wrong: list[tuple[int, str, str]]) -> tuple[bytes, bytes]:
        async def run() -> tuple[bytes, bytes]:
            return answer(await self.ask(self.ours, query, wrong)), answer(
                await self.ask(self.theirs, query, wrong)
            )

        return asyncio.run(run())


def answer(result: ExecutionResult) -> bytes:
    """All that a client gets: data in its order, and every error's message, path, locations and extensions."""
    said = {"data": result.data, "errors": [error.formatted for error in result.errors or ()]}
    try:
        return encode(said)
    except TypeError:
        return json.dumps(said, default=written_or_told).encode()


def written_or_told(value: Any) -> str:
    """As clients get it; what no client can get, in Python's words."""
    try:
        return written(value)
    except TypeError:
        return repr(value)


PLAIN = """{ events(first: 4) { asOfPosition nodes {
  eventId position recordedAt occurredAt type action outcome source { service } actor { kind id name roles }
  session correlationId emergency reason patients { id } changes { path before after } attributes
} } }"""


def executor_of(schema: AuditTrailSchema) -> type[CompilingExecutor]:
    executor: type[object] = schema.execution_context_class
    assert issubclass(executor, CompilingExecutor)
    return executor
