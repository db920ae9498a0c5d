"""How long to wait before the next try."""

from __future__ import annotations

FIRST_SECONDS = 0.1
LAST_SECONDS = 3.0
"""A try costs little, and a service that is back should not be waited for much longer."""


class Backoff:
    """Delays that double from `FIRST_SECONDS` up to `LAST_SECONDS`."""

    def __init__(self) -> None:
        self._delay = FIRST_SECONDS

    def next(self) -> float:
        """The seconds to wait now."""
        delay = self._delay
        self._delay = min(delay * 2, LAST_SECONDS)
        return delay

    def reset(self) -> None:
        """Start again after a success."""
        self._delay = FIRST_SECONDS
