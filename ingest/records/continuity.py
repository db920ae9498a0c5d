"""Check that the batches from Kafka follow each other without a hole.

In a topic that is not compacted, the batches of a partition are contiguous: each begins at the offset after the
previous one and has a record for each of its offsets, including aborted transactions and markers (message format 2). So
a hole is a loss of records. kafka-python drops aborted records and markers before the caller sees them, so the batches
are checked here before that.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from kafka import TopicPartition

from event_store.streams import AcceptedHole

_FORMAT_2 = 2
"""Older formats have no record count, and their compressed batches no first offset: they are not checked."""


class BatchMark(NamedTuple):
    """Identifies a batch among others at the same offsets: by Kafka's leader epoch and the batch's CRC-32C."""

    leader_epoch: int
    crc: int | None

    @classmethod
    def of(cls, batch: Any) -> BatchMark:
        """The mark of a batch. The CRC does not cover the leader epoch, so a damaged batch may have a negative one."""
        return cls(max(-1, batch.leader_epoch), batch.crc)


UNKNOWN = BatchMark(-1, None)


class Hole(NamedTuple):
    """Offsets `first` to `last`, of which `missing` have no record; `inside` one batch, as compaction leaves it."""

    first: int
    last: int
    missing: int
    inside: bool


def hole_before(batch: Any, expected: int) -> Hole | None:
    """The hole between offset `expected` and the start of a batch."""
    if batch.base_offset <= expected:
        return None
    return Hole(expected, batch.base_offset - 1, batch.base_offset - expected, inside=False)


def hole_inside(batch: Any) -> Hole | None:
    """The missing records of a batch. A transaction marker that compaction removed is not a record."""
    missing = batch.last_offset_delta + 1 - batch.records_count
    if missing <= 0 or batch.is_control_batch:
        return None
    return Hole(batch.base_offset, batch.last_offset, missing, inside=True)


def is_checked(batch: Any) -> bool:
    """Whether the format of the batch has the fields for the check."""
    return bool(batch.magic == _FORMAT_2)


def is_accepted(hole: Hole, accepted: Collection[AcceptedHole]) -> bool:
    """Whether an operator accepted this hole, not only a smaller one."""
    return any(
        each.first <= hole.first and hole.last <= each.last and hole.missing <= each.missing
        for each in accepted
    )


class _Seen(NamedTuple):
    first: int
    last: int
    mark: BatchMark


class Continuity:
    """Checks the batches that one consumer reads. Only for the polling thread."""

    def __init__(self) -> None:
        self._accepted: Mapping[TopicPartition, Collection[AcceptedHole]] = {}
        self._seen: dict[TopicPartition, deque[_Seen]] = defaultdict(deque)
        self._holes: set[TopicPartition] = set()

    def watched(self, partition: TopicPartition, fetch_offset: int, records: Any) -> Watched:
        """Wrap `records`, the batches of a fetch from `fetch_offset` on, to check them as the client takes them."""
        return Watched(self, partition, fetch_offset, records)

    def accept(self, accepted: Mapping[TopicPartition, Collection[AcceptedHole]]) -> None:
        """Accept these holes, until the partition is opened again."""
        self._accepted = {**self._accepted, **accepted}

    def holes(self) -> set[TopicPartition]:
        """The partitions in which a hole was found since the last call. Nothing after the hole was delivered."""
        found, self._holes = self._holes, set()
        return found

    def mark(self, partition: TopicPartition, offset: int) -> BatchMark:
        """The mark of the last-read batch, which contains `offset`."""
        seen = self._seen[partition]
        at = next(
            (at for at in reversed(range(len(seen))) if seen[at].first <= offset <= seen[at].last), None
        )
        if at is None:
            return UNKNOWN
        for _ in range(at):
            seen.popleft()
        return seen[0].mark

    def passes(self, partition: TopicPartition, batch: Any, expected: int) -> bool:
        """Record a batch. Returns False when it follows a hole: then it must not be delivered."""
        for hole in (hole_before(batch, expected), hole_inside(batch)):
            if hole is not None and not is_accepted(hole, self._accepted.get(partition, ())):
                if not batch.validate_crc():
                    break  # the client itself reports the damage
                self._holes.add(partition)
                return False
        self._seen[partition].append(_Seen(batch.base_offset, batch.last_offset, BatchMark.of(batch)))
        return True


class Watched:
    """The batches of one fetch, checked one by one."""

    def __init__(
        self, continuity: Continuity, partition: TopicPartition, fetch_offset: int, records: Any
    ) -> None:
        self._continuity = continuity
        self._partition = partition
        self._expected: int | None = fetch_offset
        self._records = records

    def next_batch(self) -> Any:
        """The next batch; None at the end and before a hole. The client then fetches that offset again."""
        batch = self._records.next_batch()
        if batch is None:
            return None
        if not is_checked(batch):
            self._expected = None
            return batch
        expected = batch.base_offset if self._expected is None else self._expected
        if not self._continuity.passes(self._partition, batch, expected):
            return None
        self._expected = max(expected, batch.next_offset)
        return batch
