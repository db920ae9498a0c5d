"""Whether Kafka gives a good batch at an offset, and where reading can go on behind a damaged one.

A broker finds an offset by going from batch to batch. So a damaged batch can also hide the good ones behind it: the
broker then answers with an error, with nothing, or with a batch of other offsets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

from kafka.errors import CorruptRecordError, InvalidRecordError, UnknownError

from ingest.records.continuity import is_checked
from ingest.records.fetcher import Batches
from ingest.records.unread import Limits
from ingest.records.unreadable import misplaced

SMALLEST = 1
"""Bytes: the leader gives a whole batch all the same (KIP-74)."""
MUCH = 4 << 20

DAMAGED = (CorruptRecordError, InvalidRecordError, UnknownError)
"""What a broker answers when it can't go through its own log, and what is raised for bytes that are no batch."""

_NO_LIMITS = Limits(0, 0, 0)  # no record is read here, and nothing is expanded
_EACH = 256
"""So many offsets behind a damaged batch are tried one by one. Then the steps double.

A broker that lost its way finds it again at the next entry of its index: every 4 KiB, by default.
"""


class Damage(NamedTuple):
    """From offset `first` on, a batch can't be read. `following`: where reading can go on, None if not looked for.

    `last` is None when nothing behind it can be read. `following` is then the end of what Kafka gives.
    """

    first: int
    fault: str
    last: int | None = None
    following: int | None = None


class Probe:
    """Asks about single offsets of a partition. Kafka gives batches before offset `end`: no transaction is open there.

    `fetch` asks the leader for so many bytes from an offset on, and raises `KafkaError`.
    """

    def __init__(self, fetch: Callable[[int, int], bytes], end: int) -> None:
        self._fetch = fetch
        self._end = end

    def fault(self, offset: int) -> str | None:
        """Why nothing can be read at `offset`; None when a good batch is there, a hole, or nothing yet."""
        if offset >= self._end:
            return None
        return self._look(offset)[0]

    def measured(self, damage: Damage) -> Damage:
        """The damage, with the offset at which reading can go on."""
        following = self._following(damage.first)
        if following is None:
            return damage._replace(following=self._end)
        return damage._replace(last=following - 1, following=following)

    def _look(self, offset: int) -> tuple[str | None, bool]:
        """Why nothing can be read at `offset`, and whether a good batch holds it. Neither: a hole is there."""
        try:
            answer = self._fetch(offset, SMALLEST)
            first = next(iter(Batches(answer, _NO_LIMITS)), None)
            if first is None:
                return "the broker gives no batch there", False
            if is_checked(first) and first.base_offset > offset:
                return self._look_ahead(offset)
            if first.is_control_batch:
                next(first)
        except DAMAGED as exc:
            return type(exc).__name__, False
        if not first.validate_crc():
            return "its CRC is wrong", False
        return None, not is_checked(first) or offset <= first.last_offset

    def _look_ahead(self, offset: int) -> tuple[str | None, bool]:
        """The same, where the first batch that the broker gives lies behind `offset`."""
        answer = self._fetch(offset, MUCH)
        if misplaced(Batches(answer, _NO_LIMITS), offset):
            return None, True
        batches = list(listed(answer))
        first = batches[0]
        if not first.validate_crc():
            return "its CRC is wrong", False
        goes_back = any(after.base_offset < before.next_offset for before, after in pairwise(batches))
        if goes_back or first.base_offset >= self._end:
            return "its base offset is wrong", False
        return None, False

    def _following(self, damaged: int) -> int | None:
        """The first offset behind `damaged` at which there is a good batch."""
        for offset in self._next_in_answer(damaged):
            if self._holds(offset):
                return offset
        low, step = damaged, 1
        while low + 1 < self._end:
            at = min(low + step, self._end - 1)
            if self._holds(at):
                return self._first_good(low, at)
            low = at
            if at - damaged >= _EACH:
                step *= 2
        return None

    def _next_in_answer(self, damaged: int) -> list[int]:
        """Where the batches begin that come with the damaged one. Smallest first: one may lie about its offset."""
        try:
            size = len(self._fetch(damaged, SMALLEST))
            answer = self._fetch(damaged, size + MUCH)
        except DAMAGED:
            return []
        return sorted(each.base_offset for each in listed(answer) if each.base_offset > damaged)

    def _holds(self, offset: int) -> bool:
        return offset < self._end and self._look(offset)[1]

    def _first_good(self, bad: int, good: int) -> int:
        while good - bad > 1:
            middle = (bad + good) // 2
            bad, good = (bad, middle) if self._holds(middle) else (middle, good)
        return good


def listed(answer: bytes) -> Iterator[Any]:
    """The batches of an answer, up to bytes that are no batch."""
    try:
        yield from Batches(answer, _NO_LIMITS)
    except CorruptRecordError:
        return
