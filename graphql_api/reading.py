"""The one place where the event loop meets the blocking read models.

Each call runs in a thread of our own pool, as large as the connection pool: asyncio's default pool is sized by
the number of processors, which has nothing to do with how many queries the database may run at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """Runs blocking calls off the event loop. Close it when the application stops."""

    def __init__(self, size: int, name: str = "reading") -> None:
        self._executor = ThreadPoolExecutor(size, thread_name_prefix=name)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `function` returns; what it raises is raised here."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, lambda: function(*args, **kwargs))

    def close(self) -> None:
        """Wait for running calls; drop those that have not begun."""
        self._executor.shutdown(wait=True, cancel_futures=True)
