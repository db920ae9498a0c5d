"""Stop servers that outlived their supervisor. Their working directory identifies them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from domain.errors import UnavailableError

PROCESSES = Path("/proc")  # Linux; elsewhere only the watchdog stops what is left

Steps = Sequence[tuple[signal.Signals, float]]
"""Signals, the gentlest first, each with the seconds to wait for its effect."""


def stop(folder: Path, program: str, steps: Steps) -> bool:
    """Stop all processes of `program` whose working directory is `folder`.

    Return whether it is certain that none is left. On a system that shows no processes it is not.

    The caller holds the folder's lock, so they have no supervisor. A PostgreSQL whose first process is gone counts
    too: its sessions still write to the same files until they notice. Raises UnavailableError when they do not end.
    """
    if not (PROCESSES / "self" / "cwd").exists():
        return False
    for number, seconds in steps:
        deadline = time.monotonic() + seconds
        for pid in _working_in(folder, program):
            _signal(pid, number)
        while _working_in(folder, program):
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        else:
            return True
    raise UnavailableError(f"{program} still runs in {folder} and does not stop")


def _working_in(folder: Path, program: str) -> list[int]:
    wanted = str(folder.resolve())
    return [
        int(process.name)
        for process in PROCESSES.iterdir()
        if process.name.isdigit() and _is_at_work(process, wanted, program)
    ]


def _is_at_work(process: Path, folder: str, program: str) -> bool:
    try:
        return (process / "comm").read_text().strip() == program and str(
            (process / "cwd").readlink()
        ) == folder
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False  # it ended meanwhile, or is another user's


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it ended by itself
