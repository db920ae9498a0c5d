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


def misplaced(batches: Iterable[Any], fetch_offset: int) -> int:
    """How many batches at the front of a fetch have a base offset that is damaged.

    A broker begins with the batch that holds the fetch's offset. It takes a batch for that one whose base offset is too
    large, and gives it for every offset behind it too. So when a good batch further on holds the offset, what comes
    before it is damaged, and ingest has been there: it stopped, and an operator accepted the gap.
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
