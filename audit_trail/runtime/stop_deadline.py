"""The last resort: a process that was told to stop ends within a bound, whatever hangs.

Python runs a signal's handler in the main thread, between two instructions: never while that thread waits for a server
that does not answer. But Python writes the signal's number to a descriptor at once, even in the middle of a wait. A
thread reads it there, and ends the process if it has not ended by itself in time.

Nothing is lost: what was acknowledged is stored, and everything else is one transaction that is repeated. An
interrupted command keeps the same as after `kill -9`.
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
"""From the signal to the end. Supervisors commonly send SIGKILL after 30."""
_REPORT_SECONDS = 2.0
"""How long the report may take: whoever reads the log may hang too."""
_FRAMES = 5
_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})


class _Watching:
    """What `install` has started."""

    thread: threading.Thread | None = None
    writing = -1
    seconds = STOP_SECONDS
    twice = False


def install(seconds: float = STOP_SECONDS, *, twice: bool = False) -> None:
    """End this process `seconds` after SIGTERM or SIGINT, and with `twice` at the second signal, at the latest.

    The exit code is then 128 + the signal's number. Call it in the main thread; called again, it changes the numbers.
    It does not handle the signals: they need a handler in Python, which asks the program to stop.
    """
    _Watching.seconds, _Watching.twice = seconds, twice
    if _Watching.thread is not None:
        return
    reading, _Watching.writing = os.pipe()
    os.set_blocking(_Watching.writing, False)
    signal.set_wakeup_fd(_Watching.writing, warn_on_full_buffer=False)
    _Watching.thread = threading.Thread(target=_watch, args=(reading,), name="last-resort", daemon=True)
    _Watching.thread.start()


def uninstall() -> None:
    """End the thread, before a fork for instance."""
    if _Watching.thread is None:
        return
    signal.set_wakeup_fd(-1)
    os.close(_Watching.writing)
    _Watching.thread.join()
    _Watching.thread, _Watching.writing = None, -1


def told(number: int) -> None:
    """Count from now on: for handlers of an event loop, which has taken the descriptor for itself."""
    if _Watching.writing >= 0:
        os.write(_Watching.writing, bytes([number]))


def _watch(reading: int) -> None:
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        number = 0
        while number not in _SIGNALS:
            data = pipe.read(1)
            if not data:
                return
            number = data[0]
        until = time.monotonic() + _Watching.seconds
        while (left := until - time.monotonic()) > 0:
            if select.select([pipe], [], [], left)[0]:
                data = pipe.read(1)
                if not data:
                    return
                if _Watching.twice and data[0] in _SIGNALS:
                    _end(number, "told twice")
        _end(number, f"not stopped {_Watching.seconds:.0f} s after {signal.Signals(number).name}")


def _end(number: int, why: str) -> None:
    report = threading.Thread(target=_report, args=(why,), name="last-resort-report", daemon=True)
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
    """What each thread is doing: its name and its innermost functions, without any value."""
    frames = sys._current_frames()
    found = []
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0)
        if frame is None or thread.name.startswith(("last-resort", "database-watchdog")):
            continue
        summary = traceback.StackSummary.extract(
            traceback.walk_stack(frame), limit=_FRAMES, lookup_lines=False
        )
        where = " < ".join(f"{each.name} ({Path(each.filename).name}:{each.lineno})" for each in summary)
        found.append(f"{thread.name}: {where}")
    return found
