"""Long statements side by side, which end at once when the one who waits for them is interrupted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from domain.errors import UnavailableError
from event_store.database import Connection, Database
from event_store.statement_errors import StatementError, statement_errors

_SLICE = 1.0


class Transactions(Protocol):
    """What gives transactions: a `Database`, or `Jobs`, which can cancel them."""

    def transaction(self, *, read_only: bool = False) -> Any:
        """See `Database.transaction`."""


class Jobs:
    """Threads with a connection each."""

    def __init__(self, database: Database, count: int, check: Callable[[], None]) -> None:
        self._database = database
        self._check = check
        self._pool = ThreadPoolExecutor(count, "rebuild")
        self._open: set[Connection] = set()

    @contextmanager
    def transaction(self, *, read_only: bool = False) -> Iterator[Connection]:
        """For what runs in a job."""
        with self._database.transaction(read_only=read_only) as connection:
            self._open.add(connection)
            try:
                yield connection
            finally:
                self._open.discard(connection)

    def start(self, job: Callable[..., Any], *arguments: object) -> Future[Any]:
        """Run `job(self, *arguments)` when a thread is free."""
        return self._pool.submit(job, self, *arguments)

    def some(self, futures: Iterable[Future[Any]]) -> set[Future[Any]]:
        """Those that are done, at least one; raises what the check raises while waiting."""
        waiting = set(futures)
        while True:
            done, _ = wait(waiting, _SLICE, FIRST_COMPLETED)
            self._check()
            if done:
                return done

    def close(self) -> None:
        """End: what still runs is cancelled in the database, and what waits never begins."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for connection in list(self._open):
            with suppress(UnavailableError, StatementError), statement_errors():
                connection.cancel()
        self._pool.shutdown(wait=True)


@contextmanager
def running_jobs(database: Database, count: int, check: Callable[[], None]) -> Iterator[Jobs]:
    """`count` threads, which are idle or cancelled at the end."""
    jobs = Jobs(database, count, check)
    try:
        yield jobs
    finally:
        jobs.close()
