"""The isolated process that runs the file of a custom projection.

`os._exit`, a crash in a C library and the kernel's out-of-memory killer end a process without a message. So the process
that was started never runs the file. It waits for its child, which does, forwards signals to it, and reports how it
ended. Nothing is lost: the rows of a batch and the checkpoint are one transaction.
"""

from __future__ import annotations

import atexit
import faulthandler
import os
import signal
import sys
from types import FrameType
from typing import NamedTuple

import typer

from audit_trail.exit_codes import SIGNALLED
from audit_trail.runtime import stop_deadline
from domain.errors import AuditTrailError, ConfigurationError, UnavailableError
from projections.rebuild.parent_process import end_with_parent

KILL_SECONDS = 25.0
"""Seconds after a signal until SIGKILL: longer than `ISOLATED_SECONDS`."""
ISOLATED_SECONDS = 20.0
"""Seconds after a signal until the isolated process ends itself."""
_KILL_AGAIN_SECONDS = 2.0
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
_DONE = b"."


class _State:
    """Whether this process is the isolated one."""

    isolated = False


def isolate(file: str) -> None:
    """Continue in an isolated child process, which may run `file`. In the parent this does not return.

    The parent ends with the child's exit code. It raises `UnavailableError` when the child was killed, and
    `ConfigurationError` when the child ended in a way in which this program never does. Call it while there is one
    thread. A second call does nothing.
    """
    if _State.isolated:
        return
    sys.stdout.flush()  # otherwise both processes would write the buffer
    stop_deadline.uninstall()  # the child installs its own, and this process kills the child in time
    reading, writing = os.pipe()
    # No signal between the fork and the handlers: the child would miss it.
    signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED)
    parent = os.getpid()
    child = os.fork()
    if not child:
        os.close(reading)
        _begin_isolated(parent, writing)
        return
    os.close(writing)
    watched = _Watched(child)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)
    ended = watched.wait()
    expected = ended.signalled or os.read(reading, 1) == _DONE
    os.close(reading)
    if expected:
        raise typer.Exit(ended.code if ended.code >= 0 else SIGNALLED - ended.code)
    raise _error(file, ended.code)


def _begin_isolated(parent: int, writing: int) -> None:
    _State.isolated = True
    os.setpgid(0, 0)  # a terminal's Ctrl-C reaches the parent alone, which forwards it once
    end_with_parent(parent)
    stop_deadline.install(ISOLATED_SECONDS)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)
    faulthandler.enable()  # a crash in a library's C code names the file's line
    here = os.getpid()
    # Python does not call this when the process is killed. A child process of the file must not call it.
    atexit.register(lambda: os.write(writing, _DONE) if os.getpid() == here else None)


class _Ended(NamedTuple):
    """`code` is negative for a signal. `signalled`: this process forwarded a signal to end."""

    code: int
    signalled: bool


class _Watched:
    """The child, and the forwarding of signals to it."""

    def __init__(self, child: int) -> None:
        self._child = child
        self._signalled = False
        for number in _FORWARDED:
            signal.signal(number, self._forward)
        signal.signal(signal.SIGALRM, self._kill)

    def wait(self) -> _Ended:
        """Wait until the child has ended."""
        _, status = os.waitpid(self._child, 0)
        for number in (*_FORWARDED, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        signal.alarm(0)
        return _Ended(os.waitstatus_to_exitcode(status), self._signalled)

    def _forward(self, number: int, _: FrameType | None) -> None:
        os.kill(self._child, number)
        if number in {signal.SIGUSR1, signal.SIGUSR2}:
            return
        signal.setitimer(signal.ITIMER_REAL, _KILL_AGAIN_SECONDS if self._signalled else KILL_SECONDS)
        self._signalled = True

    def _kill(self, _number: int, _: FrameType | None) -> None:
        os.kill(self._child, signal.SIGKILL)


def _error(file: str, code: int) -> AuditTrailError:
    kept = "nothing of the current batch is kept, and all before it is; `audit-trail projections status` says how far"
    if code == -signal.SIGKILL:
        return UnavailableError(
            f"{file}: the process that ran this file was killed, by somebody or because memory was short; {kept}"
        )
    how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    return ConfigurationError(
        f"{file}: the code of this file, or a library that it uses, has ended its process {how}; {kept}"
    )
