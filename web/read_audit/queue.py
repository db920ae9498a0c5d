"""Events that wait to be published: in order, bounded in number and bytes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from ingest.publisher import Message

_BATCH_EVENTS = 500
_BATCH_BYTES = 8 << 20
"""The size of one publication; the rest waits for the next."""
_MOST_BYTES = 64 << 20


@dataclass(slots=True, eq=False)
class Entry:
    """Records that are published together. A request waits for `outcome`; without one, they are retried."""

    messages: Sequence[Message]
    outcome: asyncio.Future[bool] | None = None

    @property
    def size(self) -> int:
        """The size in bytes."""
        return sum(len(message.value or b"") for message in self.messages)

    def finish(self, *, recorded: bool) -> None:
        """Wake the waiting request, if it still waits."""
        if self.outcome is not None and not self.outcome.done():
            self.outcome.set_result(recorded)


class Queue:
    """Records that wait. `events` and `size` also count those that were taken and are not `done` yet."""

    def __init__(self, most: int) -> None:
        self.events = 0
        self._size = 0
        self._most = most
        self._entries: deque[Entry] = deque()

    def __bool__(self) -> bool:
        return bool(self._entries)

    def has_room(self, entry: Entry, share: float = 1.0) -> bool:
        """Whether `entry` fits into that share of the queue."""
        return (
            self.events + len(entry.messages) <= self._most * share
            and self._size + entry.size <= _MOST_BYTES * share
        )

    def put(self, entry: Entry) -> None:
        """Append an entry."""
        self._entries.append(entry)
        self._count(entry, 1)

    def drop(self, entry: Entry) -> None:
        """Remove an entry that nobody waits for any more, unless it was taken already."""
        if entry in self._entries:
            self._entries.remove(entry)
            self._count(entry, -1)

    def take(self) -> list[Entry]:
        """Take entries from the front, as many as one publication may have, at least one."""
        batch: list[Entry] = []
        events = size = 0
        while self._entries:
            entry = self._entries[0]
            events, size = events + len(entry.messages), size + entry.size
            if batch and (events > _BATCH_EVENTS or size > _BATCH_BYTES):
                break
            batch.append(self._entries.popleft())
        return batch

    def done(self, entry: Entry, *, recorded: bool) -> None:
        """An entry that was taken is published, or given up."""
        self._count(entry, -1)
        entry.finish(recorded=recorded)

    def failed(self, batch: Sequence[Entry] = ()) -> None:
        """The batch was not published. Entries with a waiting request, queued ones too, fail; the others stay."""
        several = [*batch, *self._entries]
        self._entries = deque(entry for entry in several if entry.outcome is None)
        for entry in several:
            if entry.outcome is not None:
                self.done(entry, recorded=False)

    def _count(self, entry: Entry, sign: int) -> None:
        self.events += sign * len(entry.messages)
        self._size += sign * entry.size
