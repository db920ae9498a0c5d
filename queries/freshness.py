"""Read your writes: an answer is complete up to a position that the client names, or is refused.

Projections follow the log some milliseconds behind. A waiting request holds no connection and no thread: one read of
the checkpoints, at most every `_PAUSE`, serves all waiting requests.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from domain.errors import ConflictError, Reason, RejectedError
from queries.thread_pool import Threads

DEFAULT_SECONDS = 2.0
MAX_SECONDS = 10.0
MAX_POSITION = 2**63 - 1
_PAUSE = 0.02


class BehindError(RejectedError):
    """Reject: the answer would be complete only up to `as_of_position`. The client may retry later."""

    def __init__(self, field: str, as_of_position: int) -> None:
        super().__init__(
            Reason.INVALID_FIELD, f"not reached yet: complete up to position {as_of_position}", field=field
        )
        self.as_of_position = as_of_position


class Checkpoints(Protocol):
    """The part of the read models that this module needs."""

    def positions(self) -> dict[str, int]:
        """The checkpoint of every projection that has a live build."""
        ...


@dataclass(frozen=True, slots=True)
class Freshness:
    """What an answer must include: `min_position` at once, `wait_for_position` within `wait_seconds`."""

    min_position: int | None = None
    wait_for_position: int | None = None
    wait_seconds: float | None = None

    @property
    def wanted(self) -> bool:
        """Whether there is anything to check."""
        return self.min_position is not None or self.wait_for_position is not None

    def check(self) -> None:
        """Raise `RejectedError` that names the argument when one is out of bounds."""
        for name in ("min_position", "wait_for_position"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= MAX_POSITION:
                raise RejectedError(Reason.INVALID_FIELD, "a position is from 0 to 2^63 - 1", field=name)
        if self.wait_seconds is None:
            return
        if self.wait_for_position is None:
            raise ConflictError(
                Reason.MISSING_FIELD, "give the position to wait for", field="wait_for_position"
            )
        if not 0 <= self.wait_seconds <= MAX_SECONDS:
            raise RejectedError(
                Reason.INVALID_FIELD, f"from 0 to {MAX_SECONDS:.0f} seconds", field="wait_seconds"
            )

    def compare(self, as_of_position: int) -> None:
        """Raise `BehindError` when an answer that is complete up to there is not fresh enough."""
        for name in ("wait_for_position", "min_position"):
            value = getattr(self, name)
            if value is not None and as_of_position < value:
                raise BehindError(name, as_of_position)


Reached = Callable[[Mapping[str, int]], int]
"""Computes the position up to which an answer is complete, from the checkpoints of all projections."""


def least_of(names: Iterable[str]) -> Reached:
    """The lowest checkpoint of these projections."""
    wanted = tuple(names)
    return lambda checkpoints: min(checkpoints.get(name, -1) for name in wanted)


class FreshnessWaiter:
    """Waits for projections; one for the whole application."""

    def __init__(self, models: Checkpoints, threads: Threads) -> None:
        self._models = models
        self._threads = threads
        self._read: asyncio.Future[dict[str, int]] | None = None

    async def until(
        self,
        freshness: Freshness,
        reached: Reached,
        latest: float | None = None,
        *,
        models: Checkpoints | None = None,
    ) -> None:
        """Return when the answer is fresh enough. Raises `BehindError` when that takes too long.

        `latest`, a time of the event loop's clock, ends the waiting. `models` are those of the principal: without the
        right to read anything, it may not learn the position of the trail.
        """
        freshness.check()
        if not freshness.wanted:
            return
        position = -1 if freshness.wait_for_position is None else freshness.wait_for_position
        seconds = DEFAULT_SECONDS if freshness.wait_seconds is None else freshness.wait_seconds
        loop = asyncio.get_running_loop()
        end = min(loop.time() + seconds, latest if latest is not None else math.inf)
        # The first read is not shared: one under way may have started before the client learnt the position.
        found = reached(await self._threads.run((models or self._models).positions))
        while found < position and (left := end - loop.time()) > 0:
            await asyncio.sleep(min(_PAUSE, left))
            found = reached(await self._shared_read())
        freshness.compare(found)

    async def _shared_read(self) -> dict[str, int]:
        if self._read is None or self._read.done():
            self._read = asyncio.ensure_future(self._threads.run(self._models.positions))
        # Shielded: a client that goes away ends its own waiting, not the read of the others.
        return await asyncio.shield(self._read)
