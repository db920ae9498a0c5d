"""Notices that this process did not run for some time: the machine slept, or the process was stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from watcher.events import Blindness


class Clocks(NamedTuple):
    """The time of day, the time that this machine ran, and the same with the time that it slept, in seconds."""

    now: datetime
    ran: float
    ran_or_slept: float

    @classmethod
    def read(cls) -> Clocks:
        """The clocks of this machine."""
        slept = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
        return cls(datetime.now(UTC), time.monotonic(), time.clock_gettime(slept))


class Gap(NamedTuple):
    """A time in which nothing was looked at. `ended` is `end` on the clock of `Clocks.ran`."""

    begin: datetime
    end: datetime
    why: Blindness
    ended: float


class BlindnessClock:
    """Compares each tick with the one before. For several threads, one of which ticks every second or more often."""

    def __init__(self, gap_after: float, read: Callable[[], Clocks] = Clocks.read) -> None:
        self._gap_after = gap_after
        self._read = read
        self._lock = threading.Lock()
        self._last = read()
        self._gaps: list[Gap] = []

    def tick(self) -> None:
        """Say that the process runs now."""
        with self._lock:
            last, self._last = self._last, self._read()
            gap = self._compared(last, self._last)
            if gap is not None:
                self._gaps.append(gap)

    def gaps(self) -> list[Gap]:
        """The gaps since the last call, after a tick."""
        self.tick()
        with self._lock:
            found, self._gaps = self._gaps, []
            return found

    def _compared(self, last: Clocks, now: Clocks) -> Gap | None:
        ran, either = now.ran - last.ran, now.ran_or_slept - last.ran_or_slept
        passed = (now.now - last.now).total_seconds()
        longest = max(passed, either)
        if longest <= self._gap_after:
            return None
        why = Blindness.CLOCK
        if either - ran > self._gap_after:
            why = Blindness.SLEPT
        elif ran > self._gap_after:
            why = Blindness.STALLED
        return Gap(now.now - timedelta(seconds=longest), now.now, why, now.ran)
