"""A rate limit: one token bucket for each client, in bounded memory."""

from __future__ import annotations

import time
from collections.abc import Callable

from cachetools import LRUCache


class RateLimit:
    """A client may send `burst` requests at once and `per_minute` a minute on average.

    Only the `most_keys` clients seen last have a bucket; any other starts with a full one. So made-up names can't fill
    the memory. For one thread: there is no lock.
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
        """The level of each bucket, and when it was computed."""

    def take(self, key: str, times: int = 1, *, beside: int = 0) -> float:
        """0 when `key` may send so many requests now, which are then counted; else the seconds until it may.

        `beside`: how many were counted for the same request before. Together at most `burst` are taken, as more could
        never be granted.
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
