"""Whether work grows in proportion to its input, whatever else the machine does.

Two sizes are measured in one run, each as the processor time of this thread, the best of a few tries. Eight times the
input takes eight times as long when the work is linear, and sixty-four times as long when it is quadratic.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

FACTOR = 8
MOST = 24
"""The largest ratio that counts as linear: three times what it should be, and far below 64."""
LEAST = 0.0005
"""Seconds. Anything shorter counts as this long, because the clock can't tell."""
TRIES = 4

Work = Callable[[Any], object]


class Hostile(NamedTuple):
    """What a sender can do to `work`: `make` gives an input of about `size` bytes (or of eight times as many)."""

    name: str
    work: Work
    make: Callable[[int], Any]
    size: int = 16_000

    def __str__(self) -> str:
        return self.name


def seconds(work: Work, given: Any, errors: tuple[type[Exception], ...]) -> float:
    """The processor time of one call. What it refuses counts like what it takes."""
    began = time.thread_time()
    with suppress(*errors):
        work(given)
    return time.thread_time() - began


def ratio(case: Hostile, *errors: type[Exception]) -> float:
    """How much longer the larger input takes; measured until it is as small as linear work is, or `TRIES` times."""
    small_input, large_input = case.make(case.size), case.make(FACTOR * case.size)
    small = large = float("inf")
    for _ in range(TRIES):
        small = min(small, seconds(case.work, small_input, errors))
        large = min(large, seconds(case.work, large_input, errors))
        if large <= MOST * max(small, LEAST):
            break
    return large / max(small, LEAST)


def assert_linear(case: Hostile, *errors: type[Exception]) -> None:
    """Eight times the input may take `MOST` times as long. `errors` are how an input may be refused."""
    found = ratio(case, *errors)
    assert found <= MOST, f"{FACTOR} times the input takes {found:.0f} times as long"


def peak_megabytes(work: Work, given: Any, *errors: type[Exception]) -> float:
    """The memory that one call needs at most, besides its input."""
    tracemalloc.start()
    try:
        with suppress(*errors):
            work(given)
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()
