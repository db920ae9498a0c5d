"""Compiled selections answer as graphql-core does, whatever is asked and whatever the data is."""

from __future__ import annotations

import asyncio
import gc
import json
import time
import weakref
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Any, ParamSpec, TypeVar

import msgspec
import pytest
from graphql import get_introspection_query, parse, validate
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.types import ExecutionResult

from event_store.database import READER, Database
from event_store.log_reader import LogReader
from graphql_api.compiling import MAX_FIELDS, Plan
from graphql_api.context import Context
from graphql_api.documents import MAX_DOCUMENTS
from graphql_api.encoding import encode, written
from graphql_api.executing import MAX_CHOICES, CompilingExecutor
from graphql_api.limits import QueryLimits
from graphql_api.reading import Threads
from graphql_api.schema import AuditTrailSchema, make_schema
from projections.filters import EventFilter, EventPage, PageRequest
from projections.read_models import ReadModels
from tests.graphql_api.asking import Query, queries
from tests.graphql_api.trail import hospital, record

P = ParamSpec("P")
T = TypeVar("T")
LIMITS = QueryLimits(max_depth=20, max_aliases=1000, max_directives=1000, max_tokens=20000, max_events=10**6)
PAGES = (
    "(first: 3)",
    "(first: $size)",
    "(last: 2)",
    "(first: 2, last: 1)",
    '(first: 2, filter: {patient: "17"})',
    "(first: 4, filter: {actor: $who})",
)
ARGUMENTS = {
    "Query.events": PAGES,
    "Query.event": ('(id: "00000000-0000-0000-0000-000000000000")',),
    "Query.patient": ('(id: "17")', '(id: "none")', '(id: "17", limit: 0)'),
    "Query.user": ('(id: "ada")',),
    "Query.device": ('(id: "pump-1")',),
    "Query.service": ('(name: "vitals")',),
    "Query.resource": ('(type: "Observation", id: "o-17")',),
    "Query.node": (
        '(id: "nonsense")',
        '(id: "UGF0aWVudEFjdGl2aXR5OjE3")',
        '(id: "VXNlckFjdGl2aXR5OmFkYQ")',
    ),
    "Query.projection": ('(name: "patient")',),
    "Query.treeHead": ("", "(size: 3)"),
    "Query.consistencyProof": ("(from: 3, to: 10)",),
    "Event.inclusionProof": ("", "(treeSize: 4)"),
    "ProjectionModel.rows": ('(first: 2, table: "patient_timeline")',),
    **{f"{name}Activity.timeline": PAGES for name in ("Patient", "User", "Device", "Service", "Resource")},
}


EXAMPLES = 100
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""Without shrinking: it could take minutes, and the first query that is found says enough."""


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


class Wrong(ReadModels):
    """The read models, with wrong values in their pages of events: by number in the page, field and value."""

    def __init__(self, database: Database, wrong: list[tuple[int, str, str]]) -> None:
        super().__init__(database)
        self._wrong = wrong

    def events(self, filter: EventFilter, page: PageRequest, scope: EventFilter | None = None) -> EventPage:
        found = super().events(filter, page, scope)
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


_OF_EVENTS = (
    *(
        "event_id",
        "type",
        "occurred_at",
        "source",
        "actor",
        "action",
        "outcome",
        "session",
        "client",
        "patients",
    ),
    *("resources", "changes", "purpose_of_use", "emergency", "attributes", "schema_version"),
    *("actor.kind", "actor.id", "actor.roles", "source.service", "client.address"),
)
PATHS = ["position", "recorded_at", "stream", *(f"event.{path}" for path in _OF_EVENTS)]


class Both:
    """The same schema with the compiling executor and with the library's own, on one trail."""

    def __init__(self, database: Database, threads: Threads) -> None:
        self.ours, self.theirs = make_schema(LIMITS), make_schema(LIMITS)
        self.theirs.execution_context_class = StrawberryGraphQLCoreExecutionContext
        self.theirs.direct = None
        for schema in (self.ours, self.theirs):
            schema.masks = False  # the words of unexpected errors are compared too
        self.database = database
        self.threads = threads

    async def ask(
        self, schema: AuditTrailSchema, query: Query, wrong: list[tuple[int, str, str]]
    ) -> ExecutionResult:
        context = Context(Wrong(self.database, wrong), LogReader(self.database), self.threads, LIMITS)
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


@pytest.fixture
def both(migrated_url: str) -> Iterator[Both]:
    record(migrated_url, hospital())
    with closing(Database(migrated_url, READER, size=2)) as database, closing(Directly(1)) as threads:
        yield Both(database, threads)


def test_random_queries_of_random_data_are_answered_alike(both: Both) -> None:
    schema = both.ours._schema
    wrong = st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(PATHS), st.sampled_from(sorted(WRONG))), max_size=3
    )

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
    @given(queries(schema, ARGUMENTS), wrong)
    def alike(query: Query, wrong: list[tuple[int, str, str]]) -> None:
        assume(not validate(schema, parse(query.text)))
        assume(
            not any(path in {"position", "event.event_id"} and value in UNLIKE for _, path, value in wrong)
        )
        ours, theirs = both.answers(query, wrong)
        assert ours == theirs

    alike()


PLAIN = """{ events(first: 4) { asOfPosition nodes {
  eventId position recordedAt occurredAt type action outcome source { service } actor { kind id name roles }
  session correlationId emergency reason patients { id } changes { path before after } attributes
} } }"""


def executor_of(schema: AuditTrailSchema) -> type[CompilingExecutor]:
    executor: type[object] = schema.execution_context_class
    assert issubclass(executor, CompilingExecutor)
    return executor


def plans(schema: AuditTrailSchema) -> list[Plan | None]:
    """The plans that the schema's executor has made."""
    return [
        plan
        for document in executor_of(schema).documents.values()
        for choice in document.choices.values()
        for plan in choice.plans.values()
    ]


def test_a_page_of_plain_fields_is_answered_by_one_function(both: Both) -> None:
    ours, theirs = both.answers(Query(PLAIN, {}), [])
    assert ours == theirs
    (plan,) = plans(both.ours)
    assert plan is not None
    assert plan.rest == {}


def test_a_field_with_a_resolver_is_left_to_graphql_core_and_stays_in_its_place(both: Both) -> None:
    text = "{ events(first: 2) { nodes { type inclusionProof(treeSize: 4) { leafIndex } position } } }"
    ours, theirs = both.answers(Query(text, {}), [])
    assert ours == theirs
    assert [tuple(plan.rest) for plan in plans(both.ours) if plan and plan.rest] == [("inclusionProof",)]


def test_variables_of_directives_never_meet_another_requests_plan(both: Both) -> None:
    text = """query ($a: Boolean!, $b: Boolean!) { events(first: 1) {
      nodes { type @include(if: $a) position @skip(if: $b) outcome @skip(if: $a) @include(if: $b) }
    } }"""
    found = set()
    for _ in range(2):
        for a, b in ((True, True), (True, False), (False, True), (False, False)):
            ours, theirs = both.answers(Query(text, {"a": a, "b": b}), [])
            assert ours == theirs
            found.add(ours)
    assert len(found) == 4


def test_a_document_of_more_fields_than_are_compiled_is_answered_alike(both: Both) -> None:
    many = " ".join(f"a{number}: type" for number in range(MAX_FIELDS + 10))
    ours, theirs = both.answers(Query(f"{{ events(first: 2) {{ nodes {{ {many} }} }} }}", {}), [])
    assert ours == theirs


def test_the_schemas_description_of_itself_is_answered_alike(both: Both) -> None:
    ours, theirs = both.answers(Query(get_introspection_query(input_value_deprecation=True), {}), [])
    assert ours == theirs


def test_no_number_of_documents_fills_the_memory(both: Both) -> None:
    async def ask() -> None:
        directives = " ".join(f"$v{number}: Boolean!" for number in range(5))
        fields = " ".join(f"f{number}: type @skip(if: $v{number})" for number in range(5))
        text = f'query ({directives}) {{ event(id: "{"0" * 8}-0000-0000-0000-{"0" * 12}") {{ {fields} }} }}'
        for number in range(2**5):
            variables = {f"v{bit}": bool(number >> bit & 1) for bit in range(5)}
            await both.ask(both.ours, Query(text, variables), [])
        for number in range(MAX_DOCUMENTS + 20):
            await both.ask(both.ours, Query(f"{{ a{number}: __typename }}", {}), [])
            if number == 0:
                choices.extend(len(document.choices) for document in executor.documents.values())

    executor = executor_of(both.ours)
    choices: list[int] = []
    asyncio.run(ask())
    assert choices == [MAX_CHOICES, 1]
    assert len(executor.documents) == MAX_DOCUMENTS


class Failing(ReadModels):
    """The read models, of which the second page has a wrong value in it, or none comes at all."""

    def __init__(self, database: Database, failure: str) -> None:
        super().__init__(database)
        self._failure = failure
        self.asked = 0

    def events(self, filter: EventFilter, page: PageRequest, scope: EventFilter | None = None) -> EventPage:
        self.asked += 1
        found = super().events(filter, page, scope)
        if self.asked == 2 and self._failure == "raised":
            raise RuntimeError("away")
        if self.asked == 2:
            found.events[0] = put(found.events[0], ["event", "outcome"], WRONG["a number"]())
        return found


def executors_made(schema: AuditTrailSchema, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows with each operation that has an executor of its own."""
    made: list[str] = []
    executor = executor_of(schema)
    execute = executor.execute_operation

    def executed(self: CompilingExecutor, *args: Any, **options: Any) -> Any:
        made.append(type(self.root_value).__name__)
        return execute(self, *args, **options)

    monkeypatch.setattr(executor, "execute_operation", executed)
    return made


@pytest.mark.parametrize(
    ("text", "executed"),
    [
        (PLAIN, []),
        ("{ a: events(first: 1) { nodes { type } } b: events(last: 1) { nodes { position } } }", []),
        ('{ patient(id: "nobody") { events } }', []),
        ("{ events(first: 1) { nodes { type inclusionProof { leafIndex } } } }", ["NoneType"]),
        ("{ events(first: 1) { nodes { type } } __typename }", ["NoneType"]),
        ("{ events(first: 0) { nodes { type } } }", ["Given"]),
    ],
)
def test_a_query_of_plain_fields_needs_no_executor(
    both: Both, monkeypatch: pytest.MonkeyPatch, text: str, executed: list[str]
) -> None:
    made = executors_made(both.ours, monkeypatch)
    for _ in range(2):
        ours, theirs = both.answers(Query(text, {}), [])
        assert ours == theirs
    assert made == executed * 2


@pytest.mark.parametrize("failure", ["raised", "wrong"])
def test_what_graphql_core_completes_is_not_read_again(both: Both, migrated_url: str, failure: str) -> None:
    query = "{ events(first: 1) { nodes { outcome } } other: events(first: 1) { nodes { outcome } } }"

    async def ask(schema: AuditTrailSchema, models: ReadModels) -> bytes:
        context = Context(models, LogReader(database), threads, LIMITS)
        return answer(await schema.execute(query, context_value=context))

    with closing(Database(migrated_url, READER, size=2)) as database, closing(Directly(1)) as threads:
        models = Failing(database, failure)
        ours = asyncio.run(ask(both.ours, models))
        assert models.asked == 2
        assert ours == asyncio.run(ask(both.theirs, Failing(database, failure)))
    assert b'"path":["other"' in ours


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        (
            'query ($a: Boolean = true) { treeHead { size @include(if: $a) } patient(id: "17") { events } }',
            {"a": None},
        ),
        ("query ($a: Boolean = true) { events(first: 1) { nodes { type @include(if: $a) } } }", {"a": None}),
        ("query ($a: Boolean = true) { events(first: 1) @include(if: $a) { nodes { type } } }", {"a": None}),
        ("query ($n: Int) { events(first: $n) { nodes { type } } }", {"n": None}),
        ("query ($n: Int = 2) { events(first: $n) { nodes { type } } }", {}),
        ("query ($n: Int!) { events(first: $n) { nodes { type } } }", {"n": "2"}),
        (
            "query ($f: EventFilter) { events(first: 1, filter: $f) { nodes { type } } }",
            {"f": {"types": "api.called"}},
        ),
        ("query ($f: EventFilter) { events(first: 1, filter: $f) { nodes { type } } }", {"f": {"none": 1}}),
        ("{ events(first: 2, orderBy: {field: OCCURRED_AT, direction: ASC}) { nodes { position } } }", {}),
        ("{ eventCounts(by: TYPE, filter: {patient: null}) { events } }", {}),
    ],
)
def test_what_variables_and_arguments_say_is_taken_alike(
    both: Both, text: str, variables: dict[str, Any]
) -> None:
    for _ in range(2):  # what is found out for the first is kept for the second
        ours, theirs = both.answers(Query(text, variables), [])
        assert ours == theirs


async def timed(both: Both, threads: Threads, schema: AuditTrailSchema, text: str) -> tuple[float, bytes]:
    context = Context(ReadModels(both.database), LogReader(both.database), threads, LIMITS)
    began = time.perf_counter()
    said = answer(await schema.execute(text, context_value=context))
    return time.perf_counter() - began, said


def test_the_first_error_of_what_must_be_there_ends_the_waiting(both: Both) -> None:
    text = """{
      b: patient(id: "17", waitForPosition: 100000, waitSeconds: 8) { events } a: events(first: 0) { nodes { type } }
    }"""
    with closing(Threads(2)) as threads:
        ours, theirs = (asyncio.run(timed(both, threads, each, text)) for each in (both.ours, both.theirs))
    assert ours[1] == theirs[1]
    assert ours[0] < 4


def test_an_answer_that_was_cancelled_is_none(both: Both) -> None:
    """As when the server stops: what nobody has read is not told as missing."""

    async def ask() -> ExecutionResult:
        waiting = Threads(1)
        context = Context(ReadModels(both.database), LogReader(both.database), waiting, LIMITS)
        hold = asyncio.create_task(waiting.run(time.sleep, 0.3))
        await asyncio.sleep(0.05)
        text = "{ a: treeHead(size: 1) { size } b: treeHead(size: 2) { size } }"
        asked = asyncio.create_task(both.ours.execute(text, context_value=context))
        await asyncio.sleep(0.05)
        await asyncio.to_thread(waiting.close)
        await hold
        return await asked

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(ask())


def test_a_request_leaves_nothing_to_the_cycle_collector(both: Both) -> None:
    """What waits for the collector is walked all at once, and every answer waits for that."""

    async def ask() -> weakref.ref[Context]:
        context = Context(ReadModels(both.database), LogReader(both.database), both.threads, LIMITS)
        result = await both.ours.execute(PLAIN, context_value=context)
        assert result.errors is None
        return weakref.ref(context)

    asyncio.run(ask())
    gc.disable()
    try:
        assert asyncio.run(ask())() is None
    finally:
        gc.enable()
