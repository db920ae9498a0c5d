"""Batches that the Kafka client can't read stop their own partition, and nothing else.

kafka-python raises out of `poll` when a batch is damaged on disk. The error does not say which partition it belongs to,
and what the same fetch brought of other partitions waits behind it. When the client polls again after the error it
never returns: it takes from an exhausted iterator in an endless loop. So the error is caught where one
partition's fetch is parsed. Records before the damaged batch are delivered, and the position stays in front of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import Fetcher
from kafka.errors import (
    AuthorizationError,
    CorruptRecordError,
    OffsetOutOfRangeError,
    RetriableError,
    UnsupportedCodecError,
)

_NOT_OF_A_RECORD = (AuthorizationError, OffsetOutOfRangeError, RetriableError, UnsupportedCodecError)
"""These say something else than that a record is damaged, and are raised out of `poll`."""


class Unreadable(NamedTuple):
    """A partition whose next batch can't be read. `offset` is the first offset that was not delivered."""

    partition: TopicPartition
    offset: int
    error: Exception


Report = Callable[[Unreadable], None]


def report_unreadable(consumer: KafkaConsumer, report: Report) -> None:
    """Have `consumer` call `report`, on the thread that polls, for a batch that it can't read, instead of raising."""
    fetcher: Any = consumer._fetcher
    fetcher.PartitionRecords = partial(_ReportingRecords, report)
    parse = fetcher._parse_fetched_data

    def parse_or_report(completed: Any) -> Any:
        try:
            return parse(completed)
        except _NOT_OF_A_RECORD:
            raise
        except Exception as exc:  # noqa: BLE001 - whatever a damaged batch makes of the parser
            report(Unreadable(completed.topic_partition, completed.fetched_offset, exc))
            return None

    fetcher._parse_fetched_data = parse_or_report


def forget_fetched(consumer: KafkaConsumer, partition: TopicPartition) -> None:
    """Drop what was fetched of a paused partition: the broker's disk may hold other bytes by now."""
    consumer._fetcher._paused_completed_fetches.pop(partition, None)
    consumer._fetcher._paused_partition_records.pop(partition, None)


class _ReportingRecords(Fetcher.PartitionRecords):
    """One partition's part of a fetch. It ends before the first batch that can't be read."""

    def __init__(self, report: Report, *arguments: Any, **options: Any) -> None:
        self._report = report
        super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]

    def _unpack_records(self, tp: TopicPartition, records: Any, *deserializers: Any) -> Iterator[Any]:
        try:
            yield from super()._unpack_records(tp, _Ascending(records), *deserializers)  # type: ignore[no-untyped-call]
        except _NOT_OF_A_RECORD:
            raise
        except Exception as exc:  # noqa: BLE001 - whatever a damaged batch makes of the parser
            # Records in front of the fetch's offset may have been passed over in a batch that begins earlier.
            self.next_fetch_offset = max(self.next_fetch_offset, self.fetch_offset)
            self._report(Unreadable(tp, self.next_fetch_offset, exc))
            self.drain()  # type: ignore[no-untyped-call]


class _Ascending:
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
