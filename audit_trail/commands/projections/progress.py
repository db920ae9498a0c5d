"""How far a long command is: a bar with rate and time left on a terminal, lines in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich import progress
from rich.console import Console

_EVERY_SECONDS = 5.0


class TerminalProgress:
    """A bar for each step, on standard error."""

    def __init__(self) -> None:
        self._bars = progress.Progress(
            progress.TextColumn("{task.description:24}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[unit]}, {task.fields[rate]}"),
            progress.TimeRemainingColumn(elapsed_when_finished=True),
            console=Console(stderr=True),
        )
        self._task = progress.TaskID(0)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def begin(self, step: str, total: int, unit: str) -> None:
        """A step of `total` units begins."""
        self._task = self._bars.add_task(step, total=total, unit=unit, rate="")

    def advance(self, count: int) -> None:
        """Some units are done."""
        self._bars.advance(self._task, count)
        task = next(each for each in self._bars.tasks if each.id == self._task)
        speed = task.finished_speed or task.speed
        self._bars.update(self._task, rate=f"{speed:,.0f}/s" if speed else "")

    def say(self, message: str) -> None:
        """A line above the bars."""
        self._bars.console.print(message, markup=False, highlight=False)


class LineProgress:
    """A line at each step's begin and end and every few seconds, on standard error."""

    def __init__(self) -> None:
        self._step, self._unit = "", ""
        self._total = self._done = 0
        self._began = self._told = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def begin(self, step: str, total: int, unit: str) -> None:
        """A step of `total` units begins."""
        self._step, self._total, self._unit = step, total, unit
        self._done = 0
        self._began = self._told = time.monotonic()
        self.say(f"{step}: {total:,} {unit}")

    def advance(self, count: int) -> None:
        """Some units are done."""
        self._done += count
        now = time.monotonic()
        if now - self._told < _EVERY_SECONDS and self._done < self._total:
            return
        self._told = now
        rate = self._done / max(now - self._began, 1e-6)
        left = max(0, self._total - self._done) / rate if rate else 0.0
        self.say(
            f"{self._step}: {self._done:,} of {self._total:,} {self._unit}, {rate:,.0f}/s, {left:,.0f} s left"
        )

    def say(self, message: str) -> None:
        """A line."""
        sys.stderr.write(f"{message}\n")
        sys.stderr.flush()


def progress_for_stderr() -> TerminalProgress | LineProgress:
    """A progress bar on a terminal, otherwise lines."""
    return TerminalProgress() if sys.stderr.isatty() else LineProgress()
