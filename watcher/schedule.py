"""When each target is checked: at its interval, in a bounded number of threads.

One slow target delays no other as long as a thread is free. Targets whose last check was slow may use three quarters of
the threads together, so that many dead targets do not delay the check of a living one either.
"""

from __future__ import annotations

import heapq
import queue
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from watcher.blindness import BlindnessClock
from watcher.observations import Finding, Observation
from watcher.targets import WatchedTarget

_TICK_SECONDS = 0.5
_SLOW_SECONDS = 1.0

Examine = Callable[[WatchedTarget], Finding]
"""Checks a target, within its time-out."""


class Late(NamedTuple):
    """A check that began later than it was due, because no thread was free.

    `waited_from` is `due` on the clock of `time.monotonic`.
    """

    name: str
    due: datetime
    began: datetime
    waited_from: float


class Defect(NamedTuple):
    """A thread has ended by a defect of the program. Whoever takes the results raises it."""

    error: BaseException


Result = Observation | Late | Defect


class Schedule:
    """Checks `targets` until `stop`, and puts what they find into `results`."""

    def __init__(
        self,
        targets: Sequence[WatchedTarget],
        examine: Examine,
        results: queue.SimpleQueue[Result],
        clock: BlindnessClock,
        *,
        threads: int,
        gap_after: float,
    ) -> None:
        self._examine = examine
        self._results = results
        self._clock = clock
        self._gap_after = gap_after
        self._lock = threading.Lock()
        now = time.monotonic()
        self._due = [(now, at, target) for at, target in enumerate(targets)]
        """A heap of the next checks."""
        self._delayed: list[tuple[float, int, WatchedTarget]] = []
        """Checks of slow targets that wait until fewer of those are in progress."""
        self._tasks: queue.SimpleQueue[tuple[float, int, WatchedTarget] | None] = queue.SimpleQueue()
        self._running: dict[int, float] = {}
        self._slow: set[int] = set()
        self._most_slow = max(1, threads * 3 // 4)
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._guarded, args=(self._plan,), name="schedule", daemon=True),
            *(
                threading.Thread(
                    target=self._guarded, args=(self._work,), name=f"check-{number}", daemon=True
                )
                for number in range(min(threads, len(self._due)))
            ),
        ]

    def start(self) -> None:
        """Begin."""
        for each in self._threads:
            each.start()

    def stop(self) -> None:
        """Begin no more checks. Those in progress end by their time-out, and their results count no more."""
        self._stopping.set()
        for _ in self._threads[1:]:
            self._tasks.put(None)

    def late_seconds(self) -> float:
        """By how many seconds the most overdue check is late; 0 when none is, and after `stop`."""
        if self._stopping.is_set():
            return 0.0
        now = time.monotonic()
        with self._lock:
            overdue = [now - due for due in self._running.values() if due]
            overdue += [now - due for due, _, _ in self._delayed]
        return max(0.0, *overdue) if overdue else 0.0

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as exc:  # noqa: BLE001 - raised again by whoever takes the results
            self._results.put(Defect(exc))

    def _plan(self) -> None:
        """Hand out each check when it is due. This thread waits for nothing else, so it also ticks the clock."""
        while not self._stopping.is_set():
            self._clock.tick()
            now = time.monotonic()
            with self._lock:
                while self._due and self._due[0][0] <= now:
                    self._begin(heapq.heappop(self._due), now)
                self._begin_delayed()
                next_at = self._due[0][0] if self._due else now + _TICK_SECONDS
            self._stopping.wait(min(max(next_at - now, 0.01), _TICK_SECONDS))

    def _begin(self, task: tuple[float, int, WatchedTarget], now: float) -> None:
        due, at, target = task
        # After a time in which this process did not run, one check stands for all that were missed.
        missed = max(0, int((now - due) / target.interval))
        heapq.heappush(self._due, (due + (missed + 1) * target.interval, at, target))
        if at in self._running or any(waiting[1] == at for waiting in self._delayed):
            return
        task = (
            now,
            at,
            target,
        )  # what was missed before is a gap of the whole process, and not of this target
        if at in self._slow and len(self._slow & self._running.keys()) >= self._most_slow:
            self._delayed.append(task)
            return
        self._running[at] = now
        self._tasks.put(task)

    def _begin_delayed(self) -> None:
        while self._delayed and len(self._slow & self._running.keys()) < self._most_slow:
            task = self._delayed.pop(0)
            self._running[task[1]] = task[0]
            self._tasks.put(task)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            due, at, target = task
            if self._stopping.is_set():
                return
            began, now = time.monotonic(), datetime.now(UTC)
            with self._lock:
                self._running[at] = 0.0  # it is no longer overdue
            if began - due > self._gap_after:
                self._results.put(Late(target.name, now - timedelta(seconds=began - due), now, due))
            finding = self._examine(target)
            seconds = time.monotonic() - began
            with self._lock:
                self._running.pop(at, None)
                (self._slow.add if seconds > _SLOW_SECONDS else self._slow.discard)(at)
            self._results.put(
                Observation(name=target.name, at=now, began=began, seconds=seconds, finding=finding)
            )
