"""A batch that the Kafka client can't read. It stops only its own partition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import (
    AuthorizationError,
    CorruptRecordError,
    OffsetOutOfRangeError,
    RetriableError,
    UnsupportedCodecError,
)

NOT_OF_A_RECORD = (AuthorizationError, OffsetOutOfRangeError, RetriableError, UnsupportedCodecError)
"""Errors that do not mean a damaged record. `poll` raises them."""


class Unreadable(NamedTuple):
    """A partition whose next batch can't be read. `offset` is the first offset that was not delivered."""

    partition: TopicPartition
    offset: int
    error: Exception


Report = Callable[[Unreadable], None]


def forget_fetched(consumer: KafkaConsumer, partition: TopicPartition) -> None:
    """Drop what was fetched of a paused partition: the broker's disk may hold other bytes by now."""
    consumer._fetcher._paused_completed_fetches.pop(partition, None)
    consumer._fetcher._paused_partition_records.pop(partition, None)


class Ascending:
    """The batches of a fetch. A batch's base offset is not covered by its CRC, so its order is checked here."""

    def __init__(self, records: Any) -> None:
        self._records = records
        self._next = -1

    def next_batch(self) -> Any:
        """The next batch, or None. Raises `CorruptRecordError` for one that begins before the end of the last."""
        batch = self._records.next_batch()
        if batch is not None and batch.magic >= 2:
            if batch.base_offset < self._next:
                raise CorruptRecordError(f"a batch at offset {batch.base_offset} follows {self._next - 1}")
            self._next = batch.next_offset
        return batch
