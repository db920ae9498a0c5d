"""SIGTERM and SIGINT stop a process, within a bounded time."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from audit_trail.exit_codes import SIGNALLED
from audit_trail.runtime import stop_deadline
from audit_trail.runtime.stop_deadline import STOP_SECONDS

_STOPPING = (signal.SIGTERM, signal.SIGINT)
BATCH_SECONDS = 20.0
"""How long a program that applies batches may take to end. The parent of an isolated process kills it after 25 s."""
GUARD_STOP_SECONDS = 28.0
"""How long the guard may take to end: it gives places 18 s and the last findings 5 s, and then closes its clients."""
WATCH_STOP_SECONDS = 20.0
"""How long the watcher may take to end: it saves its state, and gives the last events 8 s."""

FORWARD_STOP_SECONDS = 25.0
"""How long `forward` may take to end: it gives requests in hand 18 s, and then closes its clients."""


def on_stop(stop: Callable[[], None]) -> None:
    """Have SIGTERM and Ctrl-C call `stop`, and end the process when that takes too long."""
    _handle(stop)
    stop_deadline.install(STOP_SECONDS)


def on_stop_within(seconds: float, stop: Callable[[], None]) -> None:
    """Do the same as `on_stop`, for a program that runs foreign code or waits for foreign servers.

    A second signal ends it at once.
    """
    _handle(stop)
    stop_deadline.install(seconds, twice=True)


class Interruption:
    """Which signal has interrupted the command: `number` is SIGINT until SIGTERM does."""

    number = signal.SIGINT


def interrupted_by_signals() -> None:
    """Have SIGTERM interrupt a command as Ctrl-C does, and end it when that takes too long.

    SIGINT is set too, since a shell starts a background job with SIGINT ignored. Only the first signal interrupts: a
    second one would interrupt the clean-up that the first one started.

    While modules are loaded, a signal ends the process at once: libraries turn an exception in their midst into other
    errors or into a traceback.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        if _imports(frame):
            end_at_once(number, frame)
        _handle(lambda: None)
        Interruption.number = signal.Signals(number)
        raise KeyboardInterrupt

    for number in _STOPPING:
        signal.signal(number, interrupt)
    stop_deadline.install(STOP_SECONDS)


def end_at_once(number: int, _: FrameType | None = None) -> NoReturn:
    """A signal's handler: end the process as a shell reports it, also where it is process 1 of a container."""
    os._exit(SIGNALLED + number)


def _imports(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _handle(stop: Callable[[], None]) -> None:
    for number in _STOPPING:
        signal.signal(number, lambda *_: stop())
