"""Find out whether Kafka returns a valid batch at an offset, and where reading can resume after a damaged one.

A broker finds an offset by walking from batch to batch. So a damaged batch can also hide valid batches after it: the
broker then returns an error, nothing, or a batch with other offsets.
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

MIN_FETCH = 1
"""Bytes: the leader returns at least one whole batch anyway (KIP-74)."""
LARGE_FETCH = 4 << 20

DAMAGED = (CorruptRecordError, InvalidRecordError, UnknownError)
"""The errors of a broker that can't read its own log, and of bytes that are not a batch."""

_NO_LIMITS = Limits(0, 0, 0)  # records are neither read nor expanded here
_SINGLE_STEPS = 256
"""The number of offsets after a damaged batch that are tried one by one. Then the steps double.

A broker that lost its place finds it again at the next entry of its index: every 4 KiB, by default.
"""


class Damage(NamedTuple):
    """A batch that can't be read from offset `first` on. `following` is where reading can resume; None if unknown.

    `last` is None when nothing after it can be read. Then `following` is the end of the readable log.
    """

    first: int
    fault: str
    last: int | None = None
    following: int | None = None


class Probe:
    """Examines single offsets of a partition. Before offset `end`, no transaction is open.

    `fetch` requests a number of bytes from an offset on, and raises `KafkaError`.
    """

    def __init__(self, fetch: Callable[[int, int], bytes], end: int) -> None:
        self._fetch = fetch
        self._end = end

    def fault(self, offset: int) -> str | None:
        """The reason why `offset` can't be read; None for a valid batch, a hole, or the end of the log."""
        if offset >= self._end:
            return None
        return self._examine(offset)[0]

    def measured(self, damage: Damage) -> Damage:
        """The damage, with the offset where reading can resume."""
        following = self._following(damage.first)
        if following is None:
            return damage._replace(following=self._end)
        return damage._replace(last=following - 1, following=following)

    def _examine(self, offset: int) -> tuple[str | None, bool]:
        """The reason why `offset` can't be read, and whether a valid batch contains it. Neither means a hole."""
        try:
            answer = self._fetch(offset, MIN_FETCH)
            first = next(iter(Batches(answer, _NO_LIMITS)), None)
            if first is None:
                return "the broker returns no batch there", False
            if is_checked(first) and first.base_offset > offset:
                return self._examine_ahead(offset)
            if first.is_control_batch:
                next(first)
        except DAMAGED as exc:
            return type(exc).__name__, False
        if not first.validate_crc():
            return "its CRC is wrong", False
        return None, not is_checked(first) or offset <= first.last_offset

    def _examine_ahead(self, offset: int) -> tuple[str | None, bool]:
        """Like `_examine`, when the first returned batch begins after `offset`."""
        answer = self._fetch(offset, LARGE_FETCH)
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
        """The first offset after `damaged` with a valid batch."""
        for offset in self._next_in_answer(damaged):
            if self._holds(offset):
                return offset
        low, step = damaged, 1
        while low + 1 < self._end:
            at = min(low + step, self._end - 1)
            if self._holds(at):
                return self._first_good(low, at)
            low = at
            if at - damaged >= _SINGLE_STEPS:
                step *= 2
        return None

    def _next_in_answer(self, damaged: int) -> list[int]:
        """The base offsets of batches in the same answer, smallest first: one of them may be wrong."""
        try:
            size = len(self._fetch(damaged, MIN_FETCH))
            answer = self._fetch(damaged, size + LARGE_FETCH)
        except DAMAGED:
            return []
        return sorted(each.base_offset for each in listed(answer) if each.base_offset > damaged)

    def _holds(self, offset: int) -> bool:
        return offset < self._end and self._examine(offset)[1]

    def _first_good(self, bad: int, good: int) -> int:
        while good - bad > 1:
            middle = (bad + good) // 2
            bad, good = (bad, middle) if self._holds(middle) else (middle, good)
        return good


def listed(answer: bytes) -> Iterator[Any]:
    """The batches of an answer, up to bytes that are not a batch."""
    try:
        yield from Batches(answer, _NO_LIMITS)
    except CorruptRecordError:
        return
