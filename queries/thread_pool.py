"""Runs the blocking read models in threads, off the event loop.

The pool is as large as the connection pool. asyncio's default pool is sized by the number of processors, which has
nothing to do with the number of concurrent queries. And the standard library's pool uses two futures and a callback for
each call, which take as long as decoding a small page.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, NamedTuple, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class _Call(NamedTuple):
    function: Callable[[], Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]

    def settle(self, value: Any, error: BaseException | None) -> None:
        """Pass the outcome to the event loop, if it still runs."""
        with suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(_settle, self.future, value, error)


class Threads:
    """Runs blocking calls in threads, which are started on demand.

    Close it at the end: `close` waits for running calls, and the end of the process does not.
    """

    def __init__(self, size: int, name: str = "reading") -> None:
        self._size = size
        self._name = name
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._idle: deque[None] = deque()
        """One entry for each idle thread: a counter that threads may change without a lock."""
        self._threads: list[Thread] = []
        self._closed = False
        self._lock = Lock()

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return, or raise, what `function` does.

        Raises `RuntimeError` after `close`, or when the system can start no more threads.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        # In the caller's context: its log lines and what it publishes belong to the caller's request.
        call = _Call(partial(copy_context().run, function, *args, **kwargs), loop, future)
        with self._lock:
            if self._closed:
                raise RuntimeError("the threads are closed")
            try:
                self._idle.pop()
            except IndexError:
                self._begin()
            self._calls.put(call)
        return await future

    def close(self) -> None:
        """Wait for running calls. Calls that have not started are dropped, and their callers cancelled."""
        with self._lock:
            self._closed = True
            with suppress(Empty):
                while True:
                    call = self._calls.get_nowait()
                    if call is not None:
                        call.settle(None, asyncio.CancelledError())
            for _ in self._threads:
                self._calls.put(None)
        for thread in self._threads:
            thread.join()

    def _begin(self) -> None:
        if len(self._threads) < self._size:
            name = f"{self._name}_{len(self._threads)}"
            thread = Thread(target=_work, args=(self._calls, self._idle), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)


def _work(calls: SimpleQueue[_Call | None], idle: deque[None]) -> None:
    while (call := calls.get()) is not None:
        value = error = None
        try:
            if not call.future.cancelled():
                value = call.function()
        except BaseException as exc:  # noqa: BLE001 - any error is the caller's
            error = exc
        idle.append(None)
        call.settle(value, error)
        del call, value, error  # they may be large, and the next call may come late


def _settle(future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if future.done():  # the caller went away
        return
    if error is None:
        future.set_result(value)
    elif isinstance(error, asyncio.CancelledError):
        future.cancel()
    elif isinstance(error, StopIteration):  # a future refuses it
        future.set_exception(RuntimeError(f"a call raised {error!r}"))
    else:
        future.set_exception(error)
