"""A polled batch on its way to the store, and what became of it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple
from uuid import UUID

from kafka import TopicPartition

from domain.errors import Reason
from event_store.append import NewEvent, OffsetAdvance
from event_store.dead_letters import NewDeadLetter
from ingest.decoding import Record, conflict, decode_records
from ingest.records.continuity import UNKNOWN, BatchMark
from interop.systems import OWN, Systems

_offset = attrgetter("offset")


class Polled(NamedTuple):
    """What one poll gave of one partition: all that lies from offset `start` up to `next`.

    `records` may be empty: a partition's end can be the marks of transactions, which take offsets and are no records.
    """

    partition: TopicPartition
    topic_id: UUID
    stream: UUID
    start: int
    next: int
    records: Sequence[Record]
    mark: BatchMark = UNKNOWN
    """Of the Kafka batch that holds offset `next - 1`."""


class Batch(NamedTuple):
    """One transaction's worth."""

    events: list[NewEvent]
    dead_letters: list[NewDeadLetter]
    polled: list[Polled]

    @property
    def offsets(self) -> list[OffsetAdvance]:
        """The compare-and-set of each stream, always in the same order, so that two writers can't deadlock."""
        return sorted(OffsetAdvance(part.stream, part.start, part.next, *part.mark) for part in self.polled)

    @property
    def topic_ids(self) -> Mapping[str, UUID]:
        """The topics that the records were read as."""
        return {part.partition.topic: part.topic_id for part in self.polled}

    @property
    def partitions(self) -> set[TopicPartition]:
        """The partitions that the batch moves on."""
        return {part.partition for part in self.polled}

    @property
    def received(self) -> int:
        """How many records the batch holds."""
        return sum(len(part.records) for part in self.polled)

    def conflict_letter(self, event: NewEvent) -> NewDeadLetter:
        """The dead letter of an event of this batch whose id is taken."""
        records = next(part.records for part in self.polled if part.stream == event.stream)
        at = bisect_left(records, event.stream_position, key=_offset)
        return conflict(event.stream, records[at])


class Counters:
    """What this process has committed. Each received record is counted in exactly one of the others."""

    def __init__(self) -> None:
        self.received = 0
        self.accepted = 0
        self.duplicates = 0
        self.conflicts = 0
        self.rejected: dict[Reason, int] = {}

    def __repr__(self) -> str:
        rejected = {reason.value: number for reason, number in self.rejected.items()}
        return (
            f"received={self.received} accepted={self.accepted} duplicates={self.duplicates}"
            f" conflicts={self.conflicts} rejected={rejected}"
        )


def decode_batch(polled: list[Polled], max_bytes: int, systems: Systems = OWN) -> Batch:
    """Decode what a poll gave, partition by partition, in the order of offsets."""
    batch = Batch([], [], polled)
    for part in polled:
        decoded = decode_records(part.stream, part.records, max_bytes, systems)
        batch.events.extend(decoded.events)
        batch.dead_letters.extend(decoded.dead_letters)
    return batch
