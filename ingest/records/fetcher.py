"""Limit what a Kafka consumer returns from a poll, whatever the records are.

kafka-python limits a poll only by the number of records: 5,000 records of a mebibyte are five gigabytes. It also
expands a batch before its size can be checked. There is no setting for either.

It raises from `poll` when a batch is damaged on disk. The error does not name the partition, and records of other
partitions in the same fetch wait behind it. The next poll after the error never returns: it loops over an exhausted
iterator. So the error is caught where the fetch of one partition is parsed. Records before the damaged batch are
delivered, and the position stays before it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.record.memory_records import MemoryRecords

from ingest.records.batches import ReadableBatch
from ingest.records.carried_batches import Carried, CarriedBatches, client_hands_on_values
from ingest.records.legacy_messages import ReadableMessage
from ingest.records.unread import Headers, Limits
from ingest.records.unreadable import NOT_DAMAGE, Ascending, Report, Unreadable, misplaced

Watch = Callable[[TopicPartition, int, Any], Any]
"""Wraps the batches of one fetch of a partition, which begins at that offset."""

_HEADER_COST = 256
"""Bytes of memory for one header besides its content."""


def bound(
    consumer: KafkaConsumer,
    limits: Limits,
    *,
    watch: Watch | None = None,
    report: Report | None = None,
    carried: bool = False,
) -> None:
    """Apply `limits` to `consumer`. Call it before the first poll.

    `watch` sees each batch before its records are returned. `report` is called, on the polling thread, for a batch that
    can't be read; without it the client raises. `carried`: `poll` returns `FetchedRecord`s, as far as it can (see
    `ingest.records.carried_batches`); iterating over the consumer does not work then.
    """
    fetcher: Any = consumer._fetcher
    fetcher.__class__ = _BoundedFetcher
    fetcher.limits, fetcher.watch, fetcher.report = limits, watch, report
    fetcher.carried = carried and client_hands_on_values(_BoundedRecords)


class _BoundedFetcher(Fetcher):
    """Reads batches with the limits of `ingest.records`, and ends a poll when it has enough bytes."""

    limits: Limits
    watch: Watch | None
    report: Report | None
    carried: bool
    left: int = 0

    def fetched_records(self, *arguments: Any, **options: Any) -> Any:
        """The fetched records, up to the requested number and to `limits.poll`."""
        self.left = self.limits.poll
        return super().fetched_records(*arguments, **options)  # type: ignore[no-untyped-call]

    def PartitionRecords(self, *arguments: Any, **options: Any) -> Any:  # type: ignore[override]  # noqa: N802
        """The class that the client instantiates, under this name, for each answer of a partition."""
        return _BoundedRecords(self, *arguments, **options)

    def _parse_fetched_data(self, completed: Any) -> Any:
        try:
            return super()._parse_fetched_data(completed)  # type: ignore[no-untyped-call]
        except NOT_DAMAGE:
            raise
        except Exception as exc:
            if self.report is None:
                raise
            self.report(Unreadable(completed.topic_partition, completed.fetched_offset, exc))
            return None

    def _append(self, drained: Any, part: Any, max_records: int, update_offsets: bool) -> int:
        """The number of records taken, or the requested number when there is no room for more."""
        taken: int = super()._append(drained, part, max_records, update_offsets)  # type: ignore[no-untyped-call]
        return taken if self.left > 0 else max_records


class _BoundedRecords(Fetcher.PartitionRecords):
    def __init__(self, fetcher: _BoundedFetcher, *arguments: Any, **options: Any) -> None:
        self._fetcher = fetcher
        super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]

    def take(self, n: int | None = None) -> list[Any]:
        """At most `n` records, within the remaining room. Otherwise like the client's own."""
        self._maybe_raise_next_inline_exception()  # type: ignore[no-untyped-call]
        records: list[Any] = []
        fetcher = self._fetcher
        try:
            for record in islice(self.record_iterator, n):
                records.append(record)
                key, value = record.key, record.value
                fetcher.left -= (len(key) if key else 0) + (len(value) if value else 0)
                if record.headers:
                    fetcher.left -= _header_cost(record.headers)
                if fetcher.left <= 0:
                    break
        except Exception as exc:
            if not records:
                raise
            self._next_inline_exception = exc
        return records

    def _unpack_records(self, tp: Any, records: MemoryRecords, *deserializers: Any) -> Iterator[Any]:
        fetcher = self._fetcher
        found = Batches(records._buffer, fetcher.limits)
        for _ in range(misplaced(Batches(records._buffer, fetcher.limits), self.fetch_offset)):
            next(found)
        batches: Any = Ascending(found)
        if fetcher.watch is not None:
            batches = fetcher.watch(tp, self.fetch_offset, batches)
        if fetcher.carried:
            batches = CarriedBatches(batches, self)
        try:
            for record in super()._unpack_records(tp, batches, *deserializers):  # type: ignore[no-untyped-call]
                if type(record.value) is not Carried:
                    yield record
                    continue
                for each in record.value.batch.records(tp.topic, tp.partition):
                    self.next_fetch_offset = each.offset + 1
                    yield each
        except NOT_DAMAGE:
            raise
        except Exception as exc:
            if fetcher.report is None:
                raise
            # Records before the fetch offset may have been skipped in a batch that begins earlier.
            self.next_fetch_offset = max(self.next_fetch_offset, self.fetch_offset)
            fetcher.report(Unreadable(tp, self.next_fetch_offset, exc))
            self.drain()  # type: ignore[no-untyped-call]


class Batches(MemoryRecords):
    """The batches of one answer."""

    __slots__ = ("_limits",)

    def __init__(self, buffer: bytes, limits: Limits) -> None:
        super().__init__(buffer)  # type: ignore[no-untyped-call]
        self._limits = limits

    def next_batch(self, *sizes: Any) -> Any:
        """The next batch, or None.

        Raises `CorruptRecordError` for bytes that are not a batch: the next one can't be found.
        """
        try:
            batch = super().next_batch(*sizes)  # type: ignore[no-untyped-call]
        except (AssertionError, struct.error) as exc:
            raise CorruptRecordError("the length of a batch is wrong") from exc
        if batch is None:
            return None
        if batch.magic in {0, 1}:
            return ReadableMessage(batch, self._limits)
        if batch.magic == 2:
            return ReadableBatch(batch, self._limits)
        raise CorruptRecordError(f"a batch has the unknown format {batch.magic}")


def _header_cost(headers: Headers) -> int:
    size = sum(len(name.encode()) + len(value or b"") for name, value in headers)
    return size + _HEADER_COST * len(headers)
