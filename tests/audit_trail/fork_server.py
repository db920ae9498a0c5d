"""A process with the product's modules in it, of which the commands of the tests are forks.

Each line on standard input is a command as JSON. Two lines on standard output answer it: its process id, and at its end
its exit code. To start Python with all modules takes a second of processor time or more, to fork takes a hundredth of
that. All else is as in a process of the command's own: arguments, variables, output, signals, exit code.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from audit_trail import __main__, cli  # noqa: F401 - here, and below: loaded once for all commands
from audit_trail.commands import access_record  # noqa: F401
from audit_trail.export import file as export_file  # noqa: F401
from audit_trail.guard import process as guard  # noqa: F401
from audit_trail.serving import process as serving  # noqa: F401
from audit_trail.trust import external_heads, log_check  # noqa: F401
from audit_trail.watching import process as watching  # noqa: F401


def serve() -> None:
    """Run one command after the other, until standard input ends."""
    gc.freeze()
    for line in sys.stdin:
        command = json.loads(line)
        pid = os.fork()
        if pid == 0:
            run(**command)
        _answer(pid)
        _, status = os.waitpid(pid, 0)
        _answer(os.waitstatus_to_exitcode(status))


def run(
    arguments: Sequence[str], environment: Mapping[str, str], folder: str, files: Sequence[str]
) -> NoReturn:
    """Become the command. Its output goes to `files`, as much as it says before it is killed."""
    for number, name in enumerate((os.devnull, *files)):
        descriptor = os.open(name, os.O_RDWR | os.O_APPEND)
        os.dup2(descriptor, number)
        os.close(descriptor)
    begin([str(__main__.__file__), *arguments], environment, folder)


def begin(arguments: Sequence[str], environment: Mapping[str, str], folder: str) -> NoReturn:
    """Become the command, in a process whose descriptors are the command's already."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [*arguments]
    # What a process that multiprocessing starts, and the usage of a command, take the program for.
    sys.modules["__main__"] = __main__
    __main__.main()


def _answer(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    serve()
