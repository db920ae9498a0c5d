"""Blocking calls are run off the event loop, and whoever waits for one hears of its end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from queries.thread_pool import Threads


@pytest.fixture
def threads() -> Iterator[Threads]:
    with closing(Threads(2, "test")) as threads:
        yield threads


def test_a_call_gives_its_value_from_another_thread(threads: Threads) -> None:
    def call(more: int) -> tuple[str, int]:
        return threading.current_thread().name, more

    assert asyncio.run(threads.run(call, more=3)) == ("test_0", 3)


def test_as_many_calls_run_at_once_as_there_are_threads(threads: Threads) -> None:
    both = threading.Barrier(2)

    async def ask() -> list[int]:
        for _ in range(3):
            await asyncio.gather(*(threads.run(both.wait, 10) for _ in range(2)))
        return await asyncio.gather(*(threads.run(threading.get_native_id) for _ in range(20)))

    assert len(set(asyncio.run(ask()))) <= 2


def test_what_a_call_raises_is_raised_where_it_was_asked(threads: Threads) -> None:
    with pytest.raises(ZeroDivisionError):
        asyncio.run(threads.run(lambda: 1 // 0))
    assert asyncio.run(threads.run(lambda: 1)) == 1


def test_an_exception_that_no_future_takes_ends_the_waiting_too(threads: Threads) -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        asyncio.run(threads.run(next, iter(())))


def test_a_call_whose_asker_went_away_hinders_no_other(threads: Threads) -> None:
    begun, go = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        go.wait(10)

    async def ask() -> int:
        tasks = [asyncio.create_task(threads.run(slow)) for _ in range(5)]
        await asyncio.to_thread(begun.wait, 10)
        for task in tasks:
            task.cancel()
        go.set()
        return await threads.run(lambda: 2)

    assert asyncio.run(ask()) == 2


def test_closing_waits_for_what_runs_and_cancels_what_does_not() -> None:
    threads = Threads(1)
    begun, go, ended = threading.Event(), threading.Event(), threading.Event()

    def slow() -> int:
        begun.set()
        go.wait(10)
        ended.set()
        return 1

    async def ask() -> int:
        first, second = (asyncio.create_task(threads.run(slow)) for _ in range(2))
        await asyncio.to_thread(begun.wait, 10)
        closing = asyncio.create_task(asyncio.to_thread(threads.close))
        with pytest.raises(asyncio.CancelledError):
            await second
        assert not ended.is_set()
        go.set()
        await closing
        assert ended.is_set()
        with pytest.raises(RuntimeError, match="closed"):
            await threads.run(slow)
        return await first

    assert asyncio.run(ask()) == 1


def test_a_loop_that_is_gone_ends_no_thread(threads: Threads) -> None:
    go = threading.Event()

    async def leave() -> None:
        asyncio.get_running_loop().call_later(0.05, asyncio.current_task().cancel)  # type: ignore[union-attr]
        await threads.run(go.wait, 10)

    for _ in range(2):
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(leave())
    go.set()
    assert asyncio.run(threads.run(lambda: 3)) == 3


def test_a_thread_that_the_system_does_not_give_hinders_no_later_call(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            asyncio.run(threads.run(lambda: 1))
    assert asyncio.run(threads.run(lambda: 2)) == 2
