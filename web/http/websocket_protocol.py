"""uvicorn's WebSocket protocol with a bound on the number of frames.

uvicorn bounds a message by its bytes. An empty frame takes as much time as any other and adds no bytes, so a client
without a token could block the event loop with a hundred thousand of them.
"""

from __future__ import annotations

import time
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

MAX_FRAMES = 1000
"""Frames on one connection in one second. A client of GraphQL sends a few."""
MAX_FRAGMENTS = 100
"""Frames of one message."""
_PIECE = 4 << 10
"""Bytes that are read at once: at most 700 frames, which take a few milliseconds."""


class BoundedSocketProtocol(WebSocketsSansIOProtocol):
    """A connection, which is closed when it sends too many frames."""

    _since = 0.0
    _frames = 0

    def data_received(self, data: bytes) -> None:
        """Parse the data in pieces, until the connection closes."""
        for start in range(0, len(data), _PIECE):
            if self.transport.is_closing():
                return
            super().data_received(data[start : start + _PIECE])

    def handle_cont(self, event: Any) -> None:
        """Count a frame; abort a message of too many frames."""
        if self._is_within() and len(self.frames) < MAX_FRAGMENTS:
            super().handle_cont(event)
        else:
            self.transport.abort()

    def handle_text(self, event: Any) -> None:
        """Count a frame."""
        if self._is_within():
            super().handle_text(event)

    def handle_bytes(self, event: Any) -> None:
        """Count a frame."""
        if self._is_within():
            super().handle_bytes(event)

    def handle_ping(self) -> None:
        """Count a frame."""
        if self._is_within():
            super().handle_ping()

    def handle_pong(self, event: Any) -> None:
        """Count a frame."""
        if self._is_within():
            super().handle_pong(event)

    def _is_within(self) -> bool:
        """Count a frame; close the connection and return False when there were too many within a second."""
        now = time.monotonic()
        if now - self._since > 1:
            self._since, self._frames = now, 0
        self._frames += 1
        if self._frames > MAX_FRAMES:
            self.transport.abort()
            return False
        return True
