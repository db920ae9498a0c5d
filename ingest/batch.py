"""A polled batch and the counters of its outcome."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import NamedTuple
from uuid import UUID

from kafka import TopicPartition

from domain.errors import Reason
from event_store.append import NewEvent, OffsetAdvance
from event_store.dead_letters import NewDeadLetter
from event_store.tracing import NO_SPAN, Span
from ingest.decoding import Record, conflict, decode_records
from ingest.records.continuity import UNKNOWN, BatchMark
from interop.systems import OWN, Systems

_offset = attrgetter("offset")


class Polled(NamedTuple):
    """The records of one partition from one poll: all offsets from `start` to `next`, exclusive.

    `records` may be empty: transaction markers take offsets but are not records.
    """

    partition: TopicPartition
    topic_id: UUID
    stream: UUID
    start: int
    next: int
    records: Sequence[Record]
    mark: BatchMark = UNKNOWN
    """Identifies the Kafka batch that contains offset `next - 1`."""


class Batch(NamedTuple):
    """The content of one transaction."""

    events: list[NewEvent]
    dead_letters: list[NewDeadLetter]
    polled: list[Polled]
    newest: Mapping[str, datetime] = {}
    """The newest `occurred_at` of each reporting service in the batch."""
    counts: Mapping[tuple[str, str], int] = {}
    """The number of events of each topic and reporting service."""
    span: Span = NO_SPAN
    """The trace of the batch, from its decoding to its commit."""

    @property
    def offsets(self) -> list[OffsetAdvance]:
        """The compare-and-set of each stream, always in the same order, so that two writers can't deadlock."""
        return sorted(OffsetAdvance(part.stream, part.start, part.next, *part.mark) for part in self.polled)

    @property
    def topic_ids(self) -> Mapping[str, UUID]:
        """The topic ids under which the records were read."""
        return {part.partition.topic: part.topic_id for part in self.polled}

    @property
    def partitions(self) -> set[TopicPartition]:
        """The partitions whose offsets the batch advances."""
        return {part.partition for part in self.polled}

    @property
    def received(self) -> int:
        """The number of records in the batch."""
        return sum(len(part.records) for part in self.polled)

    def conflict_letter(self, event: NewEvent) -> NewDeadLetter:
        """The dead letter for an event of this batch whose id exists with other content."""
        records = next(part.records for part in self.polled if part.stream == event.stream)
        at = bisect_left(records, event.stream_position, key=_offset)
        return conflict(event.stream, records[at])


class Counters:
    """Counters of committed records. Each received record is counted in exactly one of the others."""

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
    """Decode polled records, partition by partition, in offset order."""
    newest: dict[str, datetime] = {}
    counts: dict[tuple[str, str], int] = {}
    batch = Batch([], [], polled, newest, counts)
    for part in polled:
        decoded = decode_records(part.stream, part.records, max_bytes, systems)
        batch.events.extend(decoded.events)
        batch.dead_letters.extend(decoded.dead_letters)
        for service, occurred_at in decoded.newest.items():
            newest[service] = max(occurred_at, newest.get(service, occurred_at))
        for service, count in decoded.counts.items():
            key = part.partition.topic, service
            counts[key] = counts.get(key, 0) + count
    return batch
