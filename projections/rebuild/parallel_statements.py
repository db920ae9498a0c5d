"""Long statements side by side. They end at once when the waiting caller is interrupted."""

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
    """Opens transactions: a `Database`, or `Jobs`, which can cancel them."""

    def transaction(self, *, read_only: bool = False) -> Any:
        """A transaction: committed at the end of the block, rolled back by an exception."""


class Jobs:
    """Threads, each with its own connection."""

    def __init__(self, database: Database, count: int, check: Callable[[], None]) -> None:
        self._database = database
        self._check = check
        self._pool = ThreadPoolExecutor(count, "rebuild")
        self._open: set[Connection] = set()

    @contextmanager
    def transaction(self, *, read_only: bool = False) -> Iterator[Connection]:
        """A transaction for a job."""
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
        """Wait until at least one is done. Returns those; raises what the check raises."""
        waiting = set(futures)
        while True:
            done, _ = wait(waiting, _SLICE, FIRST_COMPLETED)
            self._check()
            if done:
                return done

    def close(self) -> None:
        """Cancel running jobs in the database, and drop waiting ones."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for connection in list(self._open):
            with suppress(UnavailableError, StatementError), statement_errors():
                connection.cancel()
        self._pool.shutdown(wait=True)


@contextmanager
def running_jobs(database: Database, count: int, check: Callable[[], None]) -> Iterator[Jobs]:
    """`count` threads. At the end they are idle, or their jobs are cancelled."""
    jobs = Jobs(database, count, check)
    try:
        yield jobs
    finally:
        jobs.close()
