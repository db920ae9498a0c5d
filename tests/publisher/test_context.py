"""The context follows async tasks, and threads and other processes where it is carried."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from audit_trail_publisher import Actor, Client, Context, carry, current_context
from audit_trail_publisher.context import bound, dump_context, load_context, set_context
from audit_trail_publisher.testing import CapturedTrail


def test_concurrent_async_tasks_have_contexts_of_their_own() -> None:
    trail = CapturedTrail()

    async def work(name: str) -> None:
        with trail.actor(name):
            await asyncio.sleep(0)
            await asyncio.gather(read(name), read(name))

    async def read(name: str) -> None:
        await asyncio.sleep(0)
        await trail.aio.record.read(resource=("Observation", name))

    async def main() -> None:
        await asyncio.gather(*(work(f"user-{number}") for number in range(20)))

    asyncio.run(main())
    assert len(trail.events) == 40
    assert all(event.actor.id == event.resources[0].id for event in trail.events)
    assert current_context() == Context()


def test_a_thread_has_the_context_that_is_carried_into_it() -> None:
    trail = CapturedTrail()
    with trail.actor("dr-smith"):
        work = carry(trail.record.searched)
        bare = threading.Thread(target=set_context, args=(Context(),))
        bare.start()
        bare.join()
    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(work) for _ in range(20)]:
            future.result()
    assert {event.actor.id for event in trail.events} == {"dr-smith"}
    assert len(trail.events) == 20


def test_a_task_of_another_process_gets_the_context_as_json() -> None:
    with bound(
        actor=Actor(id="dr-smith", roles=("physician",)),
        client=Client(address="10.0.0.7"),
        correlation_id="c-1",
        attributes={"ward": "3"},
    ) as here:
        header = json.dumps(dump_context())
    assert current_context() != here
    assert load_context(json.loads(header)) == here
    assert load_context({}) == Context()
    with pytest.raises(msgspec.ValidationError):
        load_context({"actor": 5})
