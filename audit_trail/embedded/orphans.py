"""A server that outlived its supervisor: find it by its data folder, and stop it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from domain.errors import UnavailableError

# Fast shutdown first; immediate shutdown, which costs a crash recovery, only for a server that does not follow.
STEPS = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0))


def stop(cluster: Path) -> None:
    """Stop the PostgreSQL server that still runs on `cluster`; do nothing when there is none.

    The caller holds the folder's lock, so such a server has no supervisor. A `postmaster.pid` whose process is some
    other program (the number was used again, which is common in a container) is removed, because PostgreSQL itself
    would refuse to start. Raises UnavailableError when the server does not end.
    """
    pid_file = cluster / "postmaster.pid"
    pid = _recorded_pid(pid_file)
    if pid is None:
        return
    for number, seconds in STEPS:
        if not _serves(pid, cluster):
            break
        _signal(pid, number)
        _await_end(pid, cluster, seconds)
    if _serves(pid, cluster):
        raise UnavailableError(f"PostgreSQL (process {pid}) still runs on {cluster} and does not stop")
    pid_file.unlink(missing_ok=True)


def _recorded_pid(pid_file: Path) -> int | None:
    try:
        first_line = pid_file.read_text().partition("\n")[0]
    except FileNotFoundError:
        return None
    return abs(int(first_line)) if first_line.lstrip("-").isdigit() else None


def _serves(pid: int, cluster: Path) -> bool:
    return str(cluster) in _command_line(pid)


def _command_line(pid: int) -> str:
    """What a process was started with; empty when there is no such process."""
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return ""
    return subprocess.run(
        ["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it ended by itself


def _await_end(pid: int, cluster: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while _serves(pid, cluster) and time.monotonic() < deadline:
        time.sleep(0.05)
