"""Both executors take the same arguments and variables; nothing is read twice, and nothing is left to the collector."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from contextlib import closing
from typing import Any

import pytest
from strawberry.types import ExecutionResult

from domain.read_audit.query_log import QueryLog
from event_store.database import READER, Database
from event_store.log_reader import LogReader
from graphql_api.context import Context
from graphql_api.schema import AuditTrailSchema
from queries.filters.event_filter import EventPage, PageRequest
from queries.read_models import ReadModels
from queries.scoped.read_models import ScopedModels
from queries.search.prepared import PreparedQuery
from queries.thread_pool import Threads
from tests.graphql_api.contexts import EVERYTHING, context_of
from tests.graphql_api.execution.both_executors import (
    LIMITS,
    PLAIN,
    WRONG,
    Both,
    Directly,
    answer,
    put,
)
from tests.graphql_api.execution.random_queries import Query


class Failing(ScopedModels):
    """The read models, of which the second page has a wrong value in it, or none comes at all."""

    def __init__(self, database: Database, failure: str) -> None:
        super().__init__(ReadModels(database), EVERYTHING, QueryLog())
        self._failure = failure
        self.asked = 0

    def events(self, query: PreparedQuery, page: PageRequest) -> EventPage:
        self.asked += 1
        found = super().events(query, page)
        if self.asked == 2 and self._failure == "raised":
            raise RuntimeError("away")
        if self.asked == 2:
            found.events[0] = put(found.events[0], ["event", "outcome"], WRONG["a number"]())
        return found


@pytest.mark.parametrize("failure", ["raised", "wrong"])
def test_what_graphql_core_completes_is_not_read_again(both: Both, hospital_url: str, failure: str) -> None:
    query = "{ events(first: 1) { nodes { outcome } } other: events(first: 1) { nodes { outcome } } }"

    async def ask(schema: AuditTrailSchema, models: ScopedModels) -> bytes:
        context = context_of(models, LogReader(database), threads, LIMITS)
        return answer(await schema.execute(query, context_value=context))

    with closing(Database(hospital_url, READER, size=2)) as database, closing(Directly(1)) as threads:
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
    context = context_of(ReadModels(both.database), LogReader(both.database), threads, LIMITS)
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
        context = context_of(ReadModels(both.database), LogReader(both.database), waiting, LIMITS)
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
        context = context_of(ReadModels(both.database), LogReader(both.database), both.threads, LIMITS)
        result = await both.ours.execute(PLAIN, context_value=context)
        assert result.errors is None
        return weakref.ref(context)

    asyncio.run(ask())
    gc.disable()
    try:
        assert asyncio.run(ask())() is None
    finally:
        gc.enable()
