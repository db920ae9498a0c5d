"""How often each client may ask: a token bucket for each, all of them in bounded memory."""

from __future__ import annotations

import time
from collections.abc import Callable

from cachetools import LRUCache


class RateLimit:
    """A client may ask `burst` times at once and `per_minute` times a minute on average.

    A client that is not among the `most_keys` seen last begins anew with a full bucket, so that nobody can fill the
    memory with names. For one thread: there is no lock.
    """

    def __init__(
        self,
        per_minute: float,
        burst: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        most_keys: int = 10_000,
    ) -> None:
        if per_minute <= 0 or burst < 1 or most_keys < 1:
            raise ValueError("a rate above 0, and a burst and a number of keys of 1 or more")
        self._rate = per_minute / 60
        self._burst = burst
        self._clock = clock
        self._buckets: LRUCache[str, tuple[float, float]] = LRUCache(most_keys)
        """What was left in each bucket, and when; the one used longest ago first."""

    def take(self, key: str, times: int = 1, *, beside: int = 0) -> float:
        """0 when `key` may ask so often now, which counts; otherwise the seconds until it may, and nothing is counted.

        `beside`: what was taken for the same already. More than may be asked at once is not asked for, together: it
        would wait for ever.
        """
        times = min(times, self._burst - beside)
        now = self._clock()
        left, then = self._buckets.pop(key, (float(self._burst), now))
        left = min(self._burst, left + (now - then) * self._rate)
        wait = 0.0
        if left >= times:
            left -= times
        else:
            wait = (times - left) / self._rate
        self._buckets[key] = (left, now)
        return wait
