"""What wakes subscriptions: one task that follows the projections while anybody is subscribed.

An append's NOTIFY wakes it, on one connection; it then looks at the checkpoints until they stand still, and tells all
who wait. Nobody else listens or polls, and who waits holds no thread and no connection.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import structlog

from domain.errors import AuditTrailError
from graphql_api.errors import QueryError
from queries.error_codes import Code
from queries.freshness import Checkpoints
from queries.thread_pool import Threads

log = structlog.get_logger(__name__)

_PAUSES = (0.02, 0.04, 0.08, 0.16, 0.32)
"""Seconds between looks after a wake: a projection is some ten milliseconds behind, and may be a second."""
_LONGEST = 1.0
"""Seconds until a look without a NOTIFY, which may be lost."""


class Wake(Protocol):
    """See `projections.wakeup.WakeUp`. Every method but `stop` blocks."""

    def listen(self) -> None:
        """See WakeUp."""
        ...

    def wait(self, seconds: float) -> None:
        """See WakeUp."""
        ...

    def stop(self) -> None:
        """See WakeUp."""
        ...

    def close(self) -> None:
        """See WakeUp."""
        ...


class Feed:
    """The checkpoints of the projections, and whether they have changed. One for the whole application."""

    def __init__(
        self, models: Checkpoints, wake: Wake, *, limit: int, client_limit: int | None = None
    ) -> None:
        self.positions: dict[str, int] = {}
        self.version = 0
        self.closed = False
        self.subscribers = 0
        self._models = models
        self._wake = wake
        self._limit = limit
        self._client_limit = limit if client_limit is None else client_limit
        self._of_clients: Counter[str] = Counter()
        self._threads = Threads(1, "following")
        self._told = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self._follows = False

    @asynccontextmanager
    async def subscribed(self, client: str = "") -> AsyncIterator[None]:
        """Follow the projections inside. Raises `QueryError` when there are as many subscriptions as may be.

        So it does when `client`, which is who is counted together, has as many as one may have.
        """
        if self.closed:
            raise QueryError(Code.UNAVAILABLE, "the server is stopping; subscribe again in a moment")
        if self.subscribers >= self._limit:
            raise QueryError(
                Code.LIMIT_EXCEEDED, f"there are {self._limit} subscriptions, and no more may be"
            )
        if self._of_clients[client] >= self._client_limit:
            raise QueryError(
                Code.LIMIT_EXCEEDED, f"you have {self._client_limit} subscriptions, and no more may be"
            )
        self.subscribers += 1
        self._of_clients[client] += 1
        try:
            if not self._follows:
                self._follows = True
                self._following = asyncio.create_task(self._follow())
            yield
        finally:
            self.subscribers -= 1
            self._of_clients[client] -= 1
            if not self._of_clients[client]:
                del self._of_clients[client]

    async def changed(self, version: int) -> bool:
        """Return when there is another version than that; False when there will be none any more."""
        while self.version == version and not self.closed:
            await self._told.wait()
        return not self.closed

    def stop(self) -> None:
        """End all subscriptions: each goes to its end by itself. Only in the event loop's thread."""
        self.closed = True
        self._wake.stop()
        self._tell()

    async def close(self) -> None:
        """Stop, and wait for what runs."""
        self.stop()
        if self._following is not None:
            await self._following
        self._threads.close()

    def _tell(self) -> None:
        self.version += 1
        told, self._told = self._told, asyncio.Event()
        told.set()

    async def _follow(self) -> None:
        try:
            while self.subscribers and not self.closed:
                try:
                    await self._look_until_still()
                    await self._threads.run(self._listen)
                except AuditTrailError as exc:
                    log.warning("subscriptions_wait", error=type(exc).__name__)
                    await asyncio.sleep(_LONGEST)
        finally:
            # From here on a new subscription begins a task of its own; the one thread keeps the two apart.
            self._follows = False
        # A connection that listens and is not read from would hold up the server's queue.
        await self._threads.run(self._wake.close)

    def _listen(self) -> None:
        self._wake.listen()
        self._wake.wait(_LONGEST)

    async def _look_until_still(self) -> None:
        left = list(_PAUSES)
        while not self.closed:
            positions = await self._threads.run(self._models.positions)
            if positions != self.positions:
                self.positions = positions
                self._tell()
                left = list(_PAUSES)
            if not left:
                return
            await asyncio.sleep(left.pop(0))
