"""How long to wait after an attempt that failed."""

from __future__ import annotations

import random

FIRST = 0.2
LONGEST = 60.0
"""Seconds. A trail that comes back has the events within a minute."""
LONGEST_ASKED = 3600.0
"""The longest wait that the trail can ask for, in seconds."""


class Backoff:
    """Exponential back-off with full jitter: services that failed together do not come back together."""

    def __init__(self) -> None:
        self._failures = 0

    def after_failure(self, retry_after: float | None = None) -> float:
        """The seconds to wait: those that the trail asked for (`Retry-After`), and some more."""
        ceiling = min(LONGEST, FIRST * 2 ** min(self._failures, 16))
        self._failures += 1
        wait = random.uniform(ceiling / 2, ceiling)  # noqa: S311 - spreads load, keeps no secret
        return wait if retry_after is None else min(LONGEST_ASKED, max(0.0, retry_after)) + wait / 4

    def after_success(self) -> None:
        """The next failure is the first again."""
        self._failures = 0
