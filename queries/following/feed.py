"""The feed of all subscriptions: one task that follows the projections while there are subscribers.

Subscribers are the subscriptions of GraphQL, and the dashboard's lists that follow.

An append's NOTIFY wakes the task, on one connection. It then reads the checkpoints until they stop changing, and wakes
the subscribers. Subscribers neither listen nor poll; a waiting one holds no thread and no connection.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import structlog

from domain.errors import AuditTrailError, ConflictError, Reason, UnavailableError
from queries.freshness import Checkpoints
from queries.thread_pool import Threads

log = structlog.get_logger(__name__)

_PAUSES = (0.02, 0.04, 0.08, 0.16, 0.32)
"""Seconds between reads after a NOTIFY: a projection is usually some ten milliseconds behind, at times a second."""
_LONGEST = 1.0
"""Seconds until a read without a NOTIFY, which may be lost."""


class TooManyError(ConflictError):
    """Reject: the client, or all clients together, have as many subscriptions as they may."""

    def __init__(self, message: str) -> None:
        super().__init__(Reason.OVERSIZED, message)


class StoppingError(UnavailableError):
    """Retry: the server is stopping. Clients see this message too."""

    def __init__(self) -> None:
        super().__init__("the server is stopping; subscribe again in a moment")


class Wake(Protocol):
    """Notifications of appends: `projections.wakeup.WakeUp`. Every method but `stop` blocks."""

    def listen(self) -> None:
        """Listen, unless it does already."""
        ...

    def wait(self, seconds: float) -> None:
        """Return at the next NOTIFY, at `stop`, or after `seconds`."""
        ...

    def stop(self) -> None:
        """End the waiting, now and later."""
        ...

    def close(self) -> None:
        """Close the connection."""
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
        self._changed = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self._follows = False

    @asynccontextmanager
    async def subscribed(self, client: str = "", most: int | None = None) -> AsyncIterator[None]:
        """Count a subscription of `client` for the duration of the block, and keep the task running.

        Raises `TooManyError` when the client, or the application, has reached its limit, and `StoppingError`. `most` is
        a lower limit of this client.
        """
        client_limit = self._client_limit if most is None else min(most, self._client_limit)
        if self.closed:
            raise StoppingError
        if self.subscribers >= self._limit:
            raise TooManyError(f"the limit of {self._limit} subscriptions is reached")
        if self._of_clients[client] >= client_limit:
            raise TooManyError(f"your limit of {client_limit} subscriptions is reached")
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
        """Wait for a version other than `version`; False when the feed is closed."""
        while self.version == version and not self.closed:
            await self._changed.wait()
        return not self.closed

    def stop(self) -> None:
        """End all subscriptions. Only for the event loop's thread."""
        self.closed = True
        self._wake.stop()
        self._wake_subscribers()

    async def close(self) -> None:
        """Stop, and wait for what runs."""
        self.stop()
        if self._following is not None:
            await self._following
        self._threads.close()

    def _wake_subscribers(self) -> None:
        self.version += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _follow(self) -> None:
        try:
            while self.subscribers and not self.closed:
                try:
                    await self._read_until_still()
                    await self._threads.run(self._listen)
                except AuditTrailError as exc:
                    log.warning("subscriptions_wait", error=type(exc).__name__)
                    await asyncio.sleep(_LONGEST)
        finally:
            # From here on a new subscription starts a task of its own; the single thread runs one after the other.
            self._follows = False
        # A connection that listens but is not read would block the server's notification queue.
        await self._threads.run(self._wake.close)

    def _listen(self) -> None:
        self._wake.listen()
        self._wake.wait(_LONGEST)

    async def _read_until_still(self) -> None:
        left = list(_PAUSES)
        while not self.closed:
            positions = await self._threads.run(self._models.positions)
            if positions != self.positions:
                self.positions = positions
                self._wake_subscribers()
                left = list(_PAUSES)
            if not left:
                return
            await asyncio.sleep(left.pop(0))
