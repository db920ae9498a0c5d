"""Get whole batches through the Kafka client, which otherwise makes two objects and a dozen calls for each record.

The client decides about each batch: its CRC, its transaction, whether it is a marker. Of a batch that it would return,
it gets one record, whose value is the batch. It hands that on as it hands on every value, and only then the records are
made, as `FetchedRecord`s. Markers and batches of older formats pass unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import structlog
from kafka import TopicPartition
from kafka.record.default_records import DefaultRecord, DefaultRecordBatchBuilder
from kafka.record.memory_records import MemoryRecords

from ingest.records.batches import ReadableBatch
from ingest.records.unread import Limits

log = structlog.get_logger(__name__)


class Carried(NamedTuple):
    """The value of the record that stands for a batch. The client asks a value for its length."""

    batch: ReadableBatch


class CarriedBatches:
    """The batches of a fetch, each with one record. `part` is the client's state of that fetch."""

    def __init__(self, batches: Any, part: Any) -> None:
        self._batches = batches
        self._part = part

    def next_batch(self) -> Any:
        """The next batch, or None."""
        batch = self._batches.next_batch()
        if type(batch) is not ReadableBatch or batch.is_control_batch:
            return batch
        # The client adds 1 and takes the result for the offset to fetch next. That must not change before a record is
        # returned: the batch may be unreadable.
        return _CarriedBatch(batch, self._part.next_fetch_offset - 1)


class _CarriedBatch:
    """A batch as the client sees it, but for its records."""

    def __init__(self, batch: ReadableBatch, offset: int) -> None:
        self._batch = batch
        self._offset = offset

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[DefaultRecord]:
        batch = self._batch
        yield DefaultRecord(
            batch.size_in_bytes,
            self._offset,
            batch.max_timestamp,
            batch.timestamp_type,
            None,
            Carried(batch),
            [],
        )


_PROBE = TopicPartition("probe", 0)
_VALUES = [b"first", b"second"]


def client_hands_on_values(records_of: Callable[..., Any]) -> bool:
    """Whether the installed client treats a carried batch as this module expects. If not, the log says so.

    `records_of` makes the client's state of a fetch. The client's inner interfaces may change in any release.
    """
    builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 1 << 10)
    for offset, value in enumerate(_VALUES):
        builder.append(offset, 0, None, value, [])
    limits = Limits(batch=1 << 20, record=1 << 20, poll=1 << 20)
    fetcher = SimpleNamespace(limits=limits, watch=None, report=None, carried=True, left=limits.poll)
    try:
        part = records_of(fetcher, 0, _PROBE, MemoryRecords(bytes(builder.build())))
        found = [(part.next_fetch_offset, record.value) for record in part.take(1) + part.take(1)]
        hands_on = found == [(2, value) for value in _VALUES] and not part.take(1) and not part
    except Exception as exc:  # noqa: BLE001 - whatever a future client does, its own way is there
        log.warning("kafka_records_read_singly", error=repr(exc))
        return False
    if not hands_on:
        log.warning("kafka_records_read_singly", error="the client changes carried values")
    return hands_on
