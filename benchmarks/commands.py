"""The processor time that commands take to start, on an idle stack of this machine.

`python -m benchmarks.commands [RUNS]`
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from statistics import median

from audit_trail.environment import FILE_VARIABLE
from audit_trail.settings import load
from audit_trail.stack import SETTINGS_FILE, Stack

_EXPORT = "export.ndjson"
_GOALS: dict[tuple[str, ...], float] = {
    ("--help",): 0.4,
    ("token", "--role", "auditor"): 0.8,
    ("verify",): 0.8,
    ("export", _EXPORT, "--force"): 0.8,
    ("health", "serve"): 0.8,
}
"""Seconds of user and system time, its child processes included."""


def main() -> None:
    """Print the median and the range of each command's processor time, and its goal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=int, nargs="?", default=5)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory(prefix="audit-trail-commands-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # as root, PostgreSQL runs as another account, which has to get in
        with Stack(load(), folder, "embedded") as stack:
            environment = {**os.environ, FILE_VARIABLE: str(stack.folder / SETTINGS_FILE)}
            for command, goal in _GOALS.items():
                arguments = [str(folder / each) if each == _EXPORT else each for each in command]
                took = sorted(_processor_seconds(arguments, environment) for _ in range(runs))
                words = " ".join(command)
                print(f"{words:28} {median(took):.2f} s ({took[0]:.2f} to {took[-1]:.2f}), goal {goal} s")


def _processor_seconds(arguments: list[str], environment: dict[str, str]) -> float:
    program = [sys.executable, "-m", "audit_trail", *arguments]
    silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    process = os.posix_spawn(sys.executable, program, environment, file_actions=silent)
    _, status, usage = os.wait4(process, 0)
    if os.waitstatus_to_exitcode(status):
        raise RuntimeError(f"{' '.join(arguments)} ended with {os.waitstatus_to_exitcode(status)}")
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
