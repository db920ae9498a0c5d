"""Retry delays."""

from __future__ import annotations

FIRST_SECONDS = 0.1
LAST_SECONDS = 3.0
"""The maximum delay is short: a try costs little, and work should resume soon after a service is back."""


class Backoff:
    """Delays that double from `FIRST_SECONDS` up to `LAST_SECONDS`."""

    def __init__(self) -> None:
        self._delay = FIRST_SECONDS

    def next(self) -> float:
        """The next delay in seconds."""
        delay = self._delay
        self._delay = min(delay * 2, LAST_SECONDS)
        return delay

    def reset(self) -> None:
        """Start again after a success."""
        self._delay = FIRST_SECONDS
