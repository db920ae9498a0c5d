"""Distributes the ranges of a rebuild to worker processes. The range of a killed worker goes to another one."""

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
from projections.rebuild.worker import Answer, Loader, LoadTask, OpenDatabase, Poison, Source, work
from projections.registry import Build

_DEATHS = 3
"""Workers that may die in a row without loading a range. Then the ranges must be the cause."""
_GRACE = 5.0
_SLICE = 1.0
"""Seconds between two checks that the coordinator still has the advisory lock."""


class _Worker:
    """A process, its pipe, and its current task."""

    def __init__(self, open_database: OpenDatabase, source: Source, builds: Mapping[str, Build]) -> None:
        # Spawned and not forked: a copy of this process's connections would write into them.
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(
            target=work, args=(theirs, open_database, source, builds), name="rebuild", daemon=True
        )
        self.process.start()
        theirs.close()  # so that this process notices the end of the worker
        self.task: LoadTask | None = None

    def give(self, task: LoadTask) -> None:
        self.task = task
        with suppress(
            BrokenPipeError
        ):  # it has died; `answer` notices that, and another worker gets the task
            self.pipe.send(task)

    def answer(self) -> Answer | None:
        """The worker's answer; None when it has died."""
        try:
            answer: Answer = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            return None
        self.task = None
        return answer

    def died(self) -> int | None:
        """Clean up. Returns the exit code: the negative number of the signal that killed it, if one did."""
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
    tasks: Iterable[LoadTask],
    loaded: Callable[[LoadTask], None],
    check: Callable[[], None],
) -> list[Poison]:
    """The same as `load_in_processes` in this process, for few events: a worker would take longer to start."""
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
    tasks: Iterable[LoadTask],
    loaded: Callable[[LoadTask], None],
    check: Callable[[], None],
) -> list[Poison]:
    """Load with `jobs` processes. `check` runs every second, and raises when the work has to end.

    Returns the events that stop a projection; all ranges of the other projections are loaded. Raises
    `ConfigurationError` when workers keep dying, and the error that a worker sent.
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


def _why_dead(code: int | None, task: LoadTask | None) -> str:
    where = f" while loading positions {task.first} to {task.last} of {', '.join(task.names)}" if task else ""
    if code is not None and code >= 0:
        return (
            f"a worker of the rebuild ended by itself with exit code {code}{where}, again and again:"
            " the projection's code may have ended it, or memory is short"
        )
    signal = "" if code is None else f" by signal {-code}"
    return f"the rebuild's workers are killed{signal}{where}, again and again: is memory short?"


def _give(worker: _Worker, waiting: deque[LoadTask], poisons: Mapping[str, Poison]) -> None:
    while waiting:
        task = _without(waiting.popleft(), poisons)
        if task.names:
            worker.give(task)
            return


def _without(task: LoadTask, poisons: Mapping[str, Poison]) -> LoadTask:
    return LoadTask(task.first, task.last, tuple(name for name in task.names if name not in poisons))


def _take(
    answer: Answer, poisons: dict[str, Poison], waiting: deque[LoadTask], loaded: Callable[[LoadTask], None]
) -> None:
    answer.check()
    if answer.poison is None:
        loaded(answer.task)
        return
    held = poisons.get(answer.poison.name)
    if held is None or answer.poison.position < held.position:
        poisons[answer.poison.name] = answer.poison
    waiting.appendleft(answer.task)
