"""How long to wait before the next try."""

from __future__ import annotations


class Backoff:
    """Delays in seconds that double, from `first` up to `last`.

    By default a try costs little, and a service that is back should not be waited for much longer.
    """

    def __init__(self, first: float = 0.1, last: float = 3.0) -> None:
        self._first = first
        self._last = last
        self.seconds = 0.0
        """The delay after the last failure; 0 after a success."""

    def next(self) -> float:
        """The seconds to wait after another failure."""
        self.seconds = min(max(self.seconds * 2, self._first), self._last)
        return self.seconds

    def reset(self) -> None:
        """Start again after a success."""
        self.seconds = 0.0
