"""Rounds of publication: all destinations get the same head, or witnesses would never cosign one together."""

from __future__ import annotations

import threading
import time

from event_store.database import Connection
from event_store.heads import StoredHead, newest_head


class Rounds:
    """The head of the present round. The first request after `seconds` begins the next one. Thread-safe."""

    def __init__(self, seconds: float, stopping: threading.Event) -> None:
        """When `stopping` is set, one last round begins."""
        self.seconds = seconds
        self._stopping = stopping
        self._lock = threading.Lock()
        self._head: StoredHead | None = None
        self._began = 0.0
        self._last = False

    def head(self, connection: Connection) -> StoredHead | None:
        """The head to publish now; None before the log was signed."""
        with self._lock:
            if self._is_over():
                self._last = self._stopping.is_set()
                self._head = newest_head(connection)
                self._began = time.monotonic()
            return self._head

    def _is_over(self) -> bool:
        if self._head is None or self._head.size == 0:
            return True
        if self._stopping.is_set():
            return not self._last
        return time.monotonic() - self._began >= self.seconds
