"""Processes that end with their parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int) -> None:
    """End this process when the process `parent`, which started it, ends.

    On Linux the kernel does it, even if the process holds Python's lock for ever, as in a regular expression.
    Elsewhere a thread checks every second.
    """
    if sys.platform != "linux":
        threading.Thread(target=_watch, args=(parent,), name="parent", daemon=True).start()
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # the parent ended before prctl took effect
        os._exit(1)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
