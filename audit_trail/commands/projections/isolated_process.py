"""An analyst's file runs in a separate process, so that whatever its code does to that process is reported.

`os._exit`, a crash in a C library or the kernel's out-of-memory killer end a process without a word. The process that
was started therefore never runs the file: it waits for the one that does, hands signals on, and says how that ended.
Nothing is lost by any such end: the rows of a batch and the checkpoint are one transaction.
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
"""After a signal, and more than the process itself takes to end without waiting for its batch."""
APART_SECONDS = 20.0
"""After a signal, the process itself ends whatever it does: before it is killed."""
_KILL_AGAIN_SECONDS = 2.0
_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
_DONE = b"."


class _State:
    """Whether this process is the one apart already."""

    apart = False


def go_apart(file: str) -> None:
    """Go on in a child process, which may run `file`; the parent does not return.

    It ends as the child ends, and raises `ConfigurationError` when the child's end is none that this program makes, or
    `UnavailableError` when somebody has killed it. Called while there is one thread, and again it does nothing.
    """
    if _State.apart:
        return
    sys.stdout.flush()  # or both would write what is held
    stop_deadline.uninstall()  # the child needs one of its own, and this process kills the child in time
    reading, writing = os.pipe()
    # No signal between the fork and the handlers: the child would miss it.
    signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)
    parent = os.getpid()
    child = os.fork()
    if not child:
        os.close(reading)
        _begin_apart(parent, writing)
        return
    os.close(writing)
    watched = _Watched(child)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
    ended = watched.wait()
    told = ended.signalled or os.read(reading, 1) == _DONE
    os.close(reading)
    if told:
        raise typer.Exit(ended.code if ended.code >= 0 else SIGNALLED - ended.code)
    raise _error(file, ended.code)


def _begin_apart(parent: int, writing: int) -> None:
    _State.apart = True
    os.setpgid(0, 0)  # a terminal's Ctrl-C reaches the parent alone, which hands it on once
    end_with_parent(parent)
    stop_deadline.install(APART_SECONDS)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
    faulthandler.enable()  # a crash in a library's C code names the file's line
    here = os.getpid()
    # Not called at an end that Python does not see. And not by a child of the file's own.
    atexit.register(lambda: os.write(writing, _DONE) if os.getpid() == here else None)


class _Ended(NamedTuple):
    """`code` is negative for a signal; `signalled`: it was told to end."""

    code: int
    signalled: bool


class _Watched:
    """The child, which gets the signals that this process gets."""

    def __init__(self, child: int) -> None:
        self._child = child
        self._signalled = False
        for number in _PASSED_ON:
            signal.signal(number, self._pass_on)
        signal.signal(signal.SIGALRM, self._kill)

    def wait(self) -> _Ended:
        """Until it has ended."""
        _, status = os.waitpid(self._child, 0)
        for number in (*_PASSED_ON, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        signal.alarm(0)
        return _Ended(os.waitstatus_to_exitcode(status), self._signalled)

    def _pass_on(self, number: int, _: FrameType | None) -> None:
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
