"""A worker process of a rebuild: loads ranges of the log into builds, one transaction per range."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection as Pipe
from uuid import UUID

from msgspec import Struct

from domain.errors import (
    AuditTrailError,
    ConfigurationError,
    FencedError,
    LogInconsistentError,
    UnavailableError,
)
from domain.event import RecordedEvent
from event_store.database import Connection, Database
from event_store.event_reader import read_events
from event_store.statement_errors import statement_errors
from projections.errors import LimitError
from projections.fingerprints import describe_failure
from projections.projector import Projector
from projections.rebuild.bulk_load import RangeLoad
from projections.rebuild.parent_process import end_with_parent
from projections.registry import Build, skipped

CHUNK = 5000
"""Events in memory at the same time."""
_FEWER = 16
"""The divisor of the chunk size when a chunk exceeds a limit."""

NICENESS = 5
"""Gives the live service priority. On an idle machine it makes no difference."""

OpenDatabase = Callable[[], Database]
"""Picklable: a worker is another process."""
Source = Callable[[], Sequence[Projector]]
"""Returns the projectors, in the worker too. Picklable."""

_SENT = (ConfigurationError, FencedError, LogInconsistentError, UnavailableError)


class LoadTask(Struct, frozen=True):
    """Positions `first` to `last` for the builds of the projections `names`."""

    first: int
    last: int
    names: tuple[str, ...]


class Poison(Struct, frozen=True):
    """The event that stops a projection's load."""

    name: str
    position: int
    event_id: UUID
    failure: str


class Answer(Struct, frozen=True):
    """`poison` or `error` says why the range was not loaded. `error` is an index into `_SENT`, and the text."""

    task: LoadTask
    poison: Poison | None = None
    error: tuple[int, str] | None = None

    def check(self) -> None:
        """Raise the error, if there is one."""
        if self.error is not None:
            raise _SENT[self.error[0]](self.error[1])


class _BrokenBy(Exception):  # noqa: N818 - it goes no further than this module
    """A projector broke. `events` are those whose rows it was making; empty when writing the rows broke."""

    def __init__(self, projector: Projector, events: Sequence[RecordedEvent] = ()) -> None:
        self.projector = projector
        self.events = events

    @property
    def limit(self) -> bool:
        """Whether it exceeded a limit that a smaller chunk might respect."""
        return isinstance(self.__cause__, LimitError)


class Loader:
    """Loads ranges. `builds` are the builds of this rebuild, by projection."""

    def __init__(
        self, database: Database, projectors: Sequence[Projector], builds: Mapping[str, Build]
    ) -> None:
        self._database = database
        self._projectors = {each.name: each for each in projectors}
        self._builds = builds
        self._chunk = CHUNK
        with database.transaction(read_only=True) as connection:
            self._skipped = skipped(connection, self._projectors)

    def load(self, task: LoadTask) -> Answer:
        """Load a range and mark it as done, in one transaction. Builds for which it is done already are left alone.

        When a chunk exceeds a limit of time or disk, the range starts again with smaller chunks, down to single events.
        A search by halves would run into the limit many more times.
        """
        while True:
            try:
                self._load(task)
            except _BrokenBy as exc:
                if not exc.limit or not exc.events:
                    return Answer(task, self._find_poison(task, exc.projector, exc.__cause__ or exc))
                if len(exc.events) == 1:
                    return Answer(task, _poison(exc.projector, exc.events[0], exc.__cause__ or exc))
                self._chunk = max(1, min(self._chunk, len(exc.events)) // _FEWER)
            else:
                return Answer(task)

    def _load(self, task: LoadTask) -> None:
        loads = [RangeLoad(self._projectors[name], self._builds[name]) for name in task.names]
        with self._database.transaction() as connection, connection.cursor() as cursor:
            # A crash of the server may lose the range, its rows and the row that says it is done together.
            cursor.execute("SET LOCAL synchronous_commit = off")
            loads = [load for load in loads if load.begin(cursor, task.first)]
            for events in _chunks(connection, task, self._chunk) if loads else ():
                for load in loads:
                    kept = self._kept(load.projector, events)
                    with _breaking(load.projector, kept):
                        load.add(cursor, kept)
            for load in loads:
                with _breaking(load.projector):
                    load.flush(cursor)

    def _kept(self, projector: Projector, events: Sequence[RecordedEvent]) -> Sequence[RecordedEvent]:
        left_out = self._skipped.get(projector.name)
        return [each for each in events if each.position not in left_out] if left_out else events

    def _find_poison(self, task: LoadTask, projector: Projector, cause: BaseException) -> Poison:
        for first in range(task.first, task.last + 1, CHUNK):
            with self._database.transaction(read_only=True) as connection:
                events = read_events(connection, first - 1, min(CHUNK, task.last + 1 - first)).events
            found = self._poison_in(projector, self._kept(projector, events))
            if found is not None:
                return found
        raise ConfigurationError(
            f"projection {projector.name} can't take positions {task.first} to {task.last} together:"
            f" {describe_failure(projector, cause)}"
        )

    def _poison_in(self, projector: Projector, events: Sequence[RecordedEvent]) -> Poison | None:
        """Split the events until the faulty one is alone."""
        failure = self._failure(projector, events)
        if failure is None or not events:
            return None
        if len(events) == 1:
            return Poison(projector.name, events[0].position, events[0].event.event_id, failure)
        half = len(events) // 2
        return self._poison_in(projector, events[:half]) or self._poison_in(projector, events[half:])

    def _failure(self, projector: Projector, events: Sequence[RecordedEvent]) -> str | None:
        load = RangeLoad(projector, self._builds[projector.name])
        try:
            with self._database.transaction() as connection, connection.cursor() as cursor:
                with _breaking(projector):
                    load.add(cursor, events)
                    load.flush(cursor)
                connection.rollback()  # this was only a test
        except _BrokenBy as exc:
            return describe_failure(projector, exc.__cause__ or exc)
        return None


@contextmanager
def _breaking(projector: Projector, events: Sequence[RecordedEvent] = ()) -> Iterator[None]:
    """Blame the projector for an error, unless it is one of ours or the database is away."""
    try:
        with statement_errors():
            yield
    except AuditTrailError:
        raise
    except Exception as exc:
        raise _BrokenBy(projector, events) from exc


def _poison(projector: Projector, event: RecordedEvent, cause: BaseException) -> Poison:
    return Poison(projector.name, event.position, event.event.event_id, describe_failure(projector, cause))


def _chunks(connection: Connection, task: LoadTask, size: int) -> Iterator[list[RecordedEvent]]:
    after = task.first - 1
    while after < task.last:
        batch = read_events(connection, after, min(size, task.last - after))
        if batch.last == after:
            raise LogInconsistentError(f"position {after + 1} is missing from the log")
        after = batch.last
        yield batch.events


def work(pipe: Pipe, open_database: OpenDatabase, source: Source, builds: Mapping[str, Build]) -> None:
    """Run a worker: answer each task until the coordinator closes the pipe or ends."""
    # Ctrl-C reaches every process of the terminal. The coordinator ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)
    parent = multiprocessing.parent_process()
    # A killed coordinator's workers end at once, in the middle of a range: the database rolls it back. The pipe would
    # tell them too, but only after the range.
    if parent is not None and parent.pid is not None:
        end_with_parent(parent.pid)
    loader: Loader | None = None
    try:
        database = open_database()
        while True:
            task: LoadTask = pipe.recv()
            try:
                loader = loader or Loader(database, source(), builds)
                answer = loader.load(task)
            except _SENT as exc:
                kinds = [isinstance(exc, sent) for sent in _SENT]
                answer = Answer(task, error=(kinds.index(True), str(exc)))
            pipe.send(answer)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the coordinator has ended; the current range is committed or rolled back
