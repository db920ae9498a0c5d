"""The deadline to stop: after a signal, a process ends within a bounded time, whatever hangs.

Python runs a signal handler in the main thread, between two instructions: never while that thread waits for a server
that does not answer. But Python writes the number of the signal to a file descriptor at once, also during such a wait.
A thread reads it there, and ends the process when it has not ended by itself in time.

Nothing is lost: acknowledged data is stored, and everything else is one transaction that is repeated. An interrupted
command leaves the same state as `kill -9`.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

from audit_trail.exit_codes import SIGNALLED

_log = logging.getLogger(__name__)

STOP_SECONDS = 25.0
"""From the signal to the end. Supervisors commonly send SIGKILL after 30 seconds."""
_REPORT_SECONDS = 2.0
"""How long the report may take: the reader of the log may hang too."""
_FRAMES = 5
_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})


class _Installed:
    """The thread that `install` started, and its numbers."""

    thread: threading.Thread | None = None
    writing = -1
    seconds = STOP_SECONDS
    twice = False


def install(seconds: float = STOP_SECONDS, *, twice: bool = False) -> None:
    """End this process `seconds` after SIGTERM or SIGINT, and with `twice` at the second signal, at the latest.

    The exit code is then 128 + the number of the signal. Call it in the main thread; a second call changes the numbers.
    It does not handle the signals: a handler in Python must ask the program to stop.
    """
    _Installed.seconds, _Installed.twice = seconds, twice
    if _Installed.thread is not None:
        return
    reading, _Installed.writing = os.pipe()
    os.set_blocking(_Installed.writing, False)
    signal.set_wakeup_fd(_Installed.writing, warn_on_full_buffer=False)
    _Installed.thread = threading.Thread(target=_watch, args=(reading,), name="stop-deadline", daemon=True)
    _Installed.thread.start()


def uninstall() -> None:
    """End the thread, for example before a fork."""
    if _Installed.thread is None:
        return
    signal.set_wakeup_fd(-1)
    os.close(_Installed.writing)
    _Installed.thread.join()
    _Installed.thread, _Installed.writing = None, -1


def start(number: int) -> None:
    """Start the deadline: for the signal handlers of an event loop, which uses the descriptor itself."""
    if _Installed.writing >= 0:
        os.write(_Installed.writing, bytes([number]))


def _watch(reading: int) -> None:
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        number = 0
        while number not in _SIGNALS:
            data = pipe.read(1)
            if not data:
                return
            number = data[0]
        until = time.monotonic() + _Installed.seconds
        while (left := until - time.monotonic()) > 0:
            if select.select([pipe], [], [], left)[0]:
                data = pipe.read(1)
                if not data:
                    return
                if _Installed.twice and data[0] in _SIGNALS:
                    _end(number, "told twice")
        _end(number, f"not stopped {_Installed.seconds:.0f} s after {signal.Signals(number).name}")


def _end(number: int, why: str) -> None:
    report = threading.Thread(target=_report, args=(why,), name="stop-deadline-report", daemon=True)
    report.start()
    report.join(_REPORT_SECONDS)
    os._exit(SIGNALLED + number)


def _report(why: str) -> None:
    _log.error(
        "ended_by_force: %s: ending without waiting for the current work, of which nothing is kept; still running: %s",
        why,
        "; ".join(stacks()),
    )
    sys.stderr.flush()


def stacks() -> list[str]:
    """What each thread does: its name and its innermost functions, without values."""
    frames = sys._current_frames()
    found = []
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0)
        if frame is None or thread.name.startswith(("stop-deadline", "database-watchdog")):
            continue
        summary = traceback.StackSummary.extract(
            traceback.walk_stack(frame), limit=_FRAMES, lookup_lines=False
        )
        where = " < ".join(f"{each.name} ({Path(each.filename).name}:{each.lineno})" for each in summary)
        found.append(f"{thread.name}: {where}")
    return found
