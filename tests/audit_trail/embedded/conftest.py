from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

PROJECT = Path(__file__).parents[3]


class Supervisor:
    """A supervisor in a process of its own, with all that it started."""

    def __init__(self, kind: str, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("supervisor.py"), kind, folder],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the supervisor of {kind} did not start"
        self.report: dict[str, Any] = json.loads(line)
        self.started = psutil.Process(self._process.pid).children(recursive=True)

    def kill(self) -> None:
        """Send SIGKILL to the supervisor alone."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        if self._process.poll() is None:
            self.kill()
        assert self._process.stdout is not None
        self._process.stdout.close()
        psutil.wait_procs(self.started, timeout=40)


@pytest.fixture
def supervise() -> Iterator[Callable[[str, Path], Supervisor]]:
    """`supervise(kind, folder)` starts a supervisor of "postgres", "kafka", "embedded" or "sleep"."""
    supervisors: list[Supervisor] = []

    def start(kind: str, folder: Path) -> Supervisor:
        supervisors.append(Supervisor(kind, folder))
        return supervisors[-1]

    yield start
    for each in supervisors:
        each.close()


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Wait, for at most 40 seconds, until something is so."""

    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 40
        while not condition():
            assert time.monotonic() < deadline, "it did not come about"
            time.sleep(0.02)

    return wait
