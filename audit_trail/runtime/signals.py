"""SIGTERM and SIGINT stop a process, within a bounded time."""

from __future__ import annotations

import signal
from collections.abc import Callable

from audit_trail.runtime import stop_deadline
from audit_trail.runtime.stop_deadline import STOP_SECONDS

BATCH_SECONDS = 20.0
"""How long a program that applies batches may take to end. The parent of an isolated process kills it after 25 s."""
GUARD_STOP_SECONDS = 28.0
"""How long the guard may take to end: it gives places 18 s and the last findings 5 s, and then closes its clients."""


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


def interrupted_by_signals() -> None:
    """Have SIGTERM interrupt a command as Ctrl-C does, and end it when that takes too long.

    SIGINT is set too, since a shell starts a background job with SIGINT ignored. Only the first signal interrupts: a
    second one would interrupt the clean-up that the first one started.
    """

    def interrupt() -> None:
        _handle(lambda: None)
        raise KeyboardInterrupt

    on_stop(interrupt)


def _handle(stop: Callable[[], None]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())
