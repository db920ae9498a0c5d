"""The `audit-trail` that a page's commands call: a fork of a process that has the modules of the product already.

To start Python with all modules takes half a second of processor time or more, and the pages have hundreds of commands.
All else is as in a process of the command's own: arguments, variables, folder, descriptors, signals, exit code. `Typed`
is the tests' side. `serve` is the process that forks. The program that bash finds is `_PROGRAM`: it hands everything
over, and its end is the end of the command.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

from tests.docs.pages import ROOT

_MOST = 1 << 20
"""Bytes of arguments and variables."""
_PROGRAM = """\
#!{python} -IS
import json, os, signal, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
command = json.dumps({{"arguments": sys.argv, "environment": dict(os.environ), "folder": os.getcwd()}}).encode()
socket.send_fds(server, [len(command).to_bytes(4, "big")], [0, 1, 2])
server.sendall(command)
def hand_over(number, frame):
    server.sendall(bytes([number]))
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, hand_over)
code = int.from_bytes(server.recv(4), "big", signed=True)
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


class Typed:
    """The process that forks, and the folder with the program. It ends when it is closed."""

    def __init__(self, folder: Path) -> None:
        self.programs = folder / "programs"
        self.programs.mkdir()
        address = folder / "commands"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(address))
        listener.listen(50)
        with listener:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(listener.fileno())],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                pass_fds=[listener.fileno()],
            )
        program = self.programs / "audit-trail"
        program.write_text(_PROGRAM.format(python=sys.executable, address=str(address)), "utf-8")
        program.chmod(0o755)

    def close(self) -> None:
        """End it. Commands that still run end when their callers do."""
        self._process.kill()
        self._process.wait()


def serve(listener: socket.socket) -> None:
    """Fork for each command that somebody types."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.freeze()
    while True:
        caller, _ = listener.accept()
        with caller:
            if os.fork() == 0:
                listener.close()
                _keep(caller)


def _keep(caller: socket.socket) -> NoReturn:
    """Run one command: it gets the signals of the program that called it, and ends with it at the latest."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, descriptors, _, _ = socket.recv_fds(caller, 4, 3)
    command = json.loads(caller.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL)[:_MOST])
    child = os.fork()
    if child == 0:
        caller.close()
        _become(command, descriptors)
    for each in descriptors:
        os.close(each)
    ended = os.pidfd_open(child)
    while True:
        ready, _, _ = select.select([caller.fileno(), ended], [], [])
        if ended in ready:
            _, status = os.waitpid(child, 0)
            caller.sendall(os.waitstatus_to_exitcode(status).to_bytes(4, "big", signed=True))
            os._exit(0)
        numbers = caller.recv(16)
        if not numbers:
            os.killpg(child, signal.SIGKILL)
            os._exit(0)
        for number in numbers:
            os.kill(child, number)


def _become(command: dict[str, Any], descriptors: list[int]) -> NoReturn:
    from audit_trail import __main__ as program  # noqa: PLC0415 - loaded in the server, and not by the tests
    from tests.audit_trail.fork_server import begin  # noqa: PLC0415 - as above

    # As the installed program: a script, not `python -m`.
    vars(program).update(__package__=None, __spec__=None)
    os.setsid()
    for number, each in enumerate(descriptors):
        os.dup2(each, number)
        os.close(each)
    begin(**command)


if __name__ == "__main__":
    import tests.audit_trail.fork_server  # noqa: F401 - all modules, before the first fork

    serve(socket.socket(fileno=int(sys.argv[1])))
