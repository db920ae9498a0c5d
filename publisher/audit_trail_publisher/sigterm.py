"""SIGTERM ends a Python process at once, without `atexit`: the trail would not be closed."""

from __future__ import annotations

import signal
import sys
import threading


def exit_on_sigterm() -> None:
    """Let SIGTERM end this process as `sys.exit` does, so that the trail is closed, if nothing else handles the signal.

    For servers that leave SIGTERM alone: Django's ``runserver --noreload``, ``flask run``, waitress, uWSGI without a
    master. Call it where you start the trail. It does nothing where the server has a handler of its own, as gunicorn
    has, and in another thread than the main one.
    """
    if threading.current_thread() is threading.main_thread() and (
        signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    ):
        signal.signal(signal.SIGTERM, _exit)


def _exit(*_: object) -> None:
    sys.exit(0)
