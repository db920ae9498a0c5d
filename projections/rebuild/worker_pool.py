"""Hands the ranges of a rebuild to worker processes, and the range of one that was killed to the next."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess

from domain.errors import ConfigurationError
from event_store.database import Database
from projections.projector import Projector
from projections.rebuild.worker import Answer, Loader, OpenDatabase, Poison, Source, Task, work
from projections.registry import Build

_DEATHS = 3
"""Workers that may die without a range loaded in between: then it is the ranges that kill them."""
_GRACE = 5.0
_SLICE = 1.0
"""Seconds until the coordinator looks whether it still holds the projections."""


class _Worker:
    """A process, its pipe, and the task that it has."""

    def __init__(self, open_database: OpenDatabase, source: Source, builds: Mapping[str, Build]) -> None:
        # Spawned and not forked: a copy of this process's connections would write into them.
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(
            target=work, args=(theirs, open_database, source, builds), name="rebuild", daemon=True
        )
        self.process.start()
        theirs.close()  # so that its end is seen here
        self.task: Task | None = None

    def give(self, task: Task) -> None:
        self.task = task
        with suppress(BrokenPipeError):  # it has died; that is seen at its pipe, and the task goes to another
            self.pipe.send(task)

    def answer(self) -> Answer | None:
        """What it says; None when it has died."""
        try:
            answer: Answer = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            return None
        self.task = None
        return answer

    def died(self) -> int | None:
        """Put it away; its exit code, which is a signal's negative number when one has killed it."""
        self.process.join(_GRACE)  # its pipe ends a little before it does
        code = self.process.exitcode
        self.end()
        return code

    def end(self) -> None:
        self.pipe.close()
        self.process.terminate()
        self.process.join()
        self.process.close()


def load_here(
    database: Database,
    projectors: Sequence[Projector],
    builds: Mapping[str, Build],
    tasks: Iterable[Task],
    loaded: Callable[[Task], None],
    check: Callable[[], None],
) -> list[Poison]:
    """Load in this process: for so few events that a process takes longer to start. See `load_in_processes`."""
    loader = Loader(database, projectors, builds)
    poisons: dict[str, Poison] = {}
    waiting = deque(tasks)
    while waiting:
        task = _without(waiting.popleft(), poisons)
        if task.names:
            _take(loader.load(task), poisons, waiting, loaded)
        check()
    return list(poisons.values())


def load_in_processes(
    jobs: int,
    open_database: OpenDatabase,
    source: Source,
    builds: Mapping[str, Build],
    tasks: Iterable[Task],
    loaded: Callable[[Task], None],
    check: Callable[[], None],
) -> list[Poison]:
    """Load with `jobs` processes. `check` is asked every second and raises when the work has to end.

    Returns the events that stop a projection; the others' ranges are all loaded then. Raises `ConfigurationError` when
    workers keep dying, and what a worker was refused.
    """
    waiting = deque(tasks)
    workers: list[_Worker] = []
    poisons: dict[str, Poison] = {}
    deaths = 0
    try:
        while waiting or any(worker.task for worker in workers):
            for worker in [each for each in workers if each.task is None]:
                _give(worker, waiting, poisons)
            while waiting and len(workers) < jobs:
                workers.append(_Worker(open_database, source, builds))
                _give(workers[-1], waiting, poisons)
            ready = wait([worker.pipe for worker in workers if worker.task], _SLICE)
            for worker in [each for each in workers if each.pipe in ready]:
                task = worker.task
                answer = worker.answer()
                if answer is None:
                    workers.remove(worker)
                    code = worker.died()
                    deaths += 1
                    if deaths > _DEATHS:
                        raise ConfigurationError(_why_dead(code, task))
                    if task:
                        waiting.appendleft(task)
                    continue
                deaths = 0
                _take(answer, poisons, waiting, loaded)
            check()
    finally:
        for worker in workers:
            worker.end()
    return list(poisons.values())


def _why_dead(code: int | None, task: Task | None) -> str:
    where = f" while loading positions {task.first} to {task.last} of {', '.join(task.names)}" if task else ""
    if code is not None and code >= 0:
        return (
            f"a worker of the rebuild ended by itself with exit code {code}{where}, again and again:"
            " the projection's code may have ended it, or memory is short"
        )
    signal = "" if code is None else f" by signal {-code}"
    return f"the rebuild's workers are killed{signal}{where}, again and again: is memory short?"


def _give(worker: _Worker, waiting: deque[Task], poisons: Mapping[str, Poison]) -> None:
    while waiting:
        task = _without(waiting.popleft(), poisons)
        if task.names:
            worker.give(task)
            return


def _without(task: Task, poisons: Mapping[str, Poison]) -> Task:
    return Task(task.first, task.last, tuple(name for name in task.names if name not in poisons))


def _take(
    answer: Answer, poisons: dict[str, Poison], waiting: deque[Task], loaded: Callable[[Task], None]
) -> None:
    answer.check()
    if answer.poison is None:
        loaded(answer.task)
        return
    held = poisons.get(answer.poison.name)
    if held is None or answer.poison.position < held.position:
        poisons[answer.poison.name] = answer.poison
    waiting.appendleft(answer.task)
