"""A batch that the Kafka client can't read. It stops only its own partition."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import (
    AuthorizationError,
    CorruptRecordError,
    OffsetOutOfRangeError,
    RetriableError,
    UnsupportedCodecError,
)

NOT_DAMAGE = (AuthorizationError, OffsetOutOfRangeError, RetriableError, UnsupportedCodecError)
"""Errors that do not mean a damaged record. `poll` raises them."""


class Unreadable(NamedTuple):
    """A partition whose next batch can't be read. `offset` is the first offset that was not delivered."""

    partition: TopicPartition
    offset: int
    error: Exception


Report = Callable[[Unreadable], None]


def forget_fetched(consumer: KafkaConsumer, partition: TopicPartition) -> None:
    """Drop the fetched data of a paused partition: the broker's disk may contain other bytes now."""
    consumer._fetcher._paused_completed_fetches.pop(partition, None)
    consumer._fetcher._paused_partition_records.pop(partition, None)


class Ascending:
    """The batches of a fetch. The CRC does not cover the base offset of a batch, so the order is checked here."""

    def __init__(self, records: Any) -> None:
        self._records = records
        self._next = -1

    def next_batch(self) -> Any:
        """The next batch, or None.

        Raises `CorruptRecordError` for one that begins before the end of the previous one.
        """
        batch = self._records.next_batch()
        if batch is not None and batch.magic >= 2:
            if batch.base_offset < self._next:
                raise CorruptRecordError(f"a batch at offset {batch.base_offset} follows {self._next - 1}")
            self._next = batch.next_offset
        return batch


def misplaced(batches: Iterable[Any], fetch_offset: int) -> int:
    """The number of batches at the start of a fetch with a damaged base offset.

    A broker starts with the batch that contains the fetch offset. It mistakes a batch with too large a base offset for
    that batch, and returns it for every later offset too. So if a valid batch further on contains the offset, the
    batches before it are damaged, and ingest has handled them: it stopped, and an operator accepted the gap.
    """
    try:
        for number, batch in enumerate(batches):
            if batch.magic < 2 or (not number and batch.base_offset <= fetch_offset):
                return 0
            if batch.base_offset <= fetch_offset <= batch.last_offset and batch.validate_crc():
                return number
    except CorruptRecordError:
        pass
    return 0
