"""The source of the events that the trail itself records."""

from __future__ import annotations

import socket

from domain.catalogue import TRAIL_SERVICE
from domain.event import Source


def own_source() -> Source:
    """The trail's own service, on this host."""
    return Source(service=TRAIL_SERVICE, instance=socket.gethostname() or None)
