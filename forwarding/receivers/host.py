"""The name of this machine, as receivers see it."""

from __future__ import annotations

import socket


def host_name() -> str:
    """The name of this machine; `-` when it has none."""
    return socket.gethostname() or "-"
