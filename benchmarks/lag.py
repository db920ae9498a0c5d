"""How long an event takes from its commit until all read models have it: alone, and while all of them are rebuilt."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from multiprocessing.process import BaseProcess
from statistics import quantiles
from typing import NamedTuple

from benchmarks.opening import open_database
from benchmarks.rebuild import append_messages
from benchmarks.report import Result
from benchmarks.servers import Bench
from event_store.database import INGEST, PROJECTOR, Database
from event_store.signing import HeadSigner
from event_store.tlog.notes import SigningKey
from projections.rebuild.coordinator import rebuild
from projections.rebuild.plan import Parts
from projections.registry import built_in, live_builds
from projections.runner import Runner

BOUND_SECONDS = 1.0
EVENTS_A_SECOND = 1000
_BATCHES_A_SECOND = 10
_ALONE_SECONDS = 10.0
_LOOK_SECONDS = 0.01
_WAIT_SECONDS = 60.0


class _Committed(NamedTuple):
    """A batch: the position of its last event, and when it was committed (monotonic seconds)."""

    last: int
    at: float


def lag_while_rebuilding(bench: Bench) -> Iterator[Result]:
    """The result of `lag`: a log of half of the events, the others come while it is rebuilt, again and again."""
    held = bench.events // 2
    with bench.database() as url, closing(Database(url, INGEST)) as ingest:
        signer = HeadSigner([SigningKey.generate("audit-trail.example/bench")])
        append_messages(ingest, signer, bench.corpus.messages[:held], 0)
        with _process(_project, url), closing(Database(url, PROJECTOR)) as database:
            _until(lambda: _position(database) == held - 1)
            seen, stop = _Seen(database), threading.Event()
            coming = _Coming(ingest, signer, bench.corpus.messages[held:], held)
            threads = [
                threading.Thread(target=coming.run, args=(stop,)),
                threading.Thread(target=seen.run, args=(stop,)),
            ]
            for thread in threads:
                thread.start()
            time.sleep(_ALONE_SECONDS)
            began, seconds = time.monotonic(), []
            for _ in range(bench.runs):
                started = time.monotonic()
                with _process(_rebuild, url) as process:
                    process.join()
                seconds.append(time.monotonic() - started)
            ended = time.monotonic()
            time.sleep(1.0)
            stop.set()
            for thread in threads:
                thread.join()
            _until(lambda: _position(database) >= coming.committed[-1].last)
            seen.look()
    alone = seen.lags([each for each in coming.committed if each.at < began])
    during = seen.lags([each for each in coming.committed if began <= each.at < ended])
    yield Result(
        "Live lag during a rebuild",
        f"p99 from commit to all read models, at {EVENTS_A_SECOND:,} events/s, during {bench.runs} rebuilds of all",
        "the bound",
        (_at(during, 99),),
        (BOUND_SECONDS,),
        1,
        unit="s",
        at_most=True,
        notes=(
            f"During: {_text(during)}",
            f"Alone: {_text(alone)}",
            "Seconds of the rebuilds: " + ", ".join(f"{each:.1f}" for each in seconds),
        ),
    )


class _Coming:
    """Appends at a steady rate; `committed` says what and when."""

    def __init__(
        self, database: Database, signer: HeadSigner, messages: Sequence[bytes], position: int
    ) -> None:
        self.committed: list[_Committed] = []
        self._database = database
        self._signer = signer
        self._messages = messages
        self._position = position

    def run(self, stop: threading.Event) -> None:
        """Until told to stop, or out of messages."""
        size = EVENTS_A_SECOND // _BATCHES_A_SECOND
        due = time.monotonic()
        for first in range(0, len(self._messages), size):
            if stop.is_set():
                return
            batch = self._messages[first : first + size]
            append_messages(self._database, self._signer, batch, self._position)
            self._position += len(batch)
            self.committed.append(_Committed(self._position - 1, time.monotonic()))
            due += 1 / _BATCHES_A_SECOND
            time.sleep(max(0.0, due - time.monotonic()))


class _Seen:
    """Looks again and again how far the read model that is furthest behind has come."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._looks: list[tuple[int, float]] = []

    def run(self, stop: threading.Event) -> None:
        """Until told to stop."""
        while not stop.wait(_LOOK_SECONDS):
            self.look()

    def look(self) -> None:
        """Once."""
        self._looks.append((_position(self._database), time.monotonic()))

    def lags(self, committed: Sequence[_Committed]) -> list[float]:
        """Seconds of each batch, to the first look that found it."""
        looks = iter(self._looks)
        position, at = next(looks)
        lags = []
        for batch in committed:
            while position < batch.last or at < batch.at:
                position, at = next(looks)
            lags.append(at - batch.at)
        return lags


def _text(lags: Sequence[float]) -> str:
    return f"median {_at(lags, 50):.3f} s, p99 {_at(lags, 99):.3f} s, most {max(lags):.3f} s ({len(lags)} batches)"


def _at(lags: Sequence[float], percent: int) -> float:
    return quantiles(lags, n=100)[percent - 1]


def _position(database: Database) -> int:
    """What all read models have; -1 while there is none."""
    with database.transaction(read_only=True) as connection:
        builds = live_builds(connection)
    return min((build.position for build in builds.values()), default=-1)


def _until(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while not check():
        if time.monotonic() > deadline:
            raise TimeoutError("the read models do not catch up")
        time.sleep(0.05)


@contextmanager
def _process(target: Callable[[str], None], url: str) -> Iterator[BaseProcess]:
    process = multiprocessing.get_context("spawn").Process(target=target, args=(url,))
    process.start()
    try:
        yield process
    finally:
        process.terminate()
        process.join()


def _project(url: str) -> None:
    with closing(open_database(url)) as database:
        Runner(database, built_in()).run()


class _Quiet:
    def begin(self, step: str, total: int, unit: str) -> None:
        """Nobody looks."""

    def advance(self, count: int) -> None:
        """Nobody looks."""

    def say(self, message: str) -> None:
        """Nobody looks."""


def _rebuild(url: str) -> None:
    with closing(open_database(url)) as database:
        parts = Parts(
            database=database,
            open_database=partial(open_database, url),
            source=built_in,
            publish=lambda _: None,
            progress=_Quiet(),
        )
        rebuild(parts, [each.name for each in built_in()])
