"""Read record batches of the current format (magic 2) within limits.

The readable part of a batch is read. The rest, up to the last offset of the batch, becomes one record whose value is
`Unread`: it ends as a dead letter, and ingest goes on. The offset of that record is the last one of the batch, so that
the client continues after the batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any, NamedTuple

from kafka.errors import CorruptRecordError
from kafka.record.default_records import DefaultRecord, DefaultRecordBatch
from kafka.record.util import decode_varint

from domain.errors import Reason
from event_store.dead_letters import SealedBatch
from ingest.records.decompression import NAMES, BrokenError, TooLargeError, expand
from ingest.records.fetched_record import FAULTS, FetchedRecord, Fields, read_bytes, read_headers, read_usual
from ingest.records.unread import (
    KEY_KEPT,
    VALUE_KEPT,
    Account,
    Headers,
    Limits,
    Unread,
    cut,
    cut_headers,
    larger_part,
)
from interop.decoding import MAX_HEADERS

_MIN_RECORD_BYTES = 7
"""Bytes of the length, the attributes, two deltas, and three empty lengths."""
_MIN_EVENT_BYTES = 100
"""Bytes. No record with an event is smaller: a batch of more records would be a flood of dead letters."""


class ReadableBatch(DefaultRecordBatch):
    """A batch that rejects oversized and inconsistent content; otherwise it behaves like the client's own."""

    __slots__ = ("_limits", "_whole")

    def __init__(self, batch: DefaultRecordBatch, limits: Limits) -> None:
        # The client's own constructor would copy the buffer again.
        self._buffer = batch._buffer
        self._header_data = batch._header_data
        self._pos = batch._pos
        self._num_records = batch._num_records
        self._next_record_index = 0
        self._decompressed = False
        self._limits = limits
        if self.last_offset_delta < 0 or self.base_offset < 0:
            raise CorruptRecordError("a batch ends before it begins")

    def __next__(self) -> Any:
        """The transaction marker: the client uses this method for nothing else. None in an emptied batch."""
        if not self.records_count:
            return None
        try:
            return super().__next__()  # type: ignore[no-untyped-call]
        except (*FAULTS, StopIteration) as exc:
            raise CorruptRecordError("a transaction marker can't be read") from exc

    next = __next__

    def __iter__(self) -> Iterator[DefaultRecord]:
        """The same records for the client, as its own objects."""
        for record in self.records("", -1):
            size = len(record.key or b"") + len(record.value or b"")
            fields = (record.offset, record.timestamp, self.timestamp_type, record.key, record.value)
            yield DefaultRecord(size + 1, *fields, list(record.headers))

    def records(self, topic: str, partition: int) -> Iterator[FetchedRecord]:
        """The records, and at most one `Unread` at the end, which stands for all unreadable ones."""
        self._whole = bytes(self._buffer)
        self._buffer = self._whole  # type: ignore[assignment]
        try:
            data, at = self._expanded()
        except TooLargeError:
            allowed = (
                f"it expands to more than the {self._limits.batch} bytes of AUDIT_TRAIL_KAFKA_MAX_BATCH_BYTES,"
                " or has more records than that many bytes of events"
            )
            yield self._unread(topic, partition, self.base_offset, Reason.OVERSIZED, allowed)
        except BrokenError:
            name = NAMES.get(self.compression_type, "known")
            what = f"it is not {name} data, or is truncated"
            yield self._unread(topic, partition, self.base_offset, Reason.BROKEN_BATCH, what)
        else:
            yield from self._read_all(topic, partition, data, at)

    def _expanded(self) -> tuple[bytes, int]:
        """The bytes of the records, and where they begin."""
        if self.records_count > self._limits.batch // _MIN_EVENT_BYTES:
            raise TooLargeError
        if self.compression_type == self.CODEC_NONE:
            return self._whole, self._pos
        if self.compression_type not in NAMES:
            raise BrokenError
        self._assert_has_codec(self.compression_type)  # type: ignore[no-untyped-call]
        return expand(self.compression_type, memoryview(self._whole)[self._pos :], self._limits.batch), 0

    def _read_all(self, topic: str, partition: int, data: bytes, at: int) -> Iterator[FetchedRecord]:
        count, last, base, limit = self.records_count, self.last_offset, self.base_offset, self._limits.record
        following = base
        appended_at = self.max_timestamp if self.timestamp_type else None
        first_timestamp = self.first_timestamp
        try:
            if not 0 <= count <= (len(data) - at) // _MIN_RECORD_BYTES:
                raise ValueError("its number of records is wrong")
            if not count and at != len(data):
                raise ValueError("it has no records but is not empty")
            for left in range(count - 1, -1, -1):
                fields = read_usual(data, at, limit) or self._read(data, at)
                offset, timestamp, key, value, headers, at = fields
                offset += base
                if not following <= offset <= last - left:
                    raise ValueError("the offsets of its records are not ascending, or outside the batch")
                # Checked before the last record is returned: after it, nothing of this batch would be fetched again.
                if not left and at != len(data):
                    raise ValueError("there are bytes after its last record")
                following = offset + 1
                moment = first_timestamp + timestamp if appended_at is None else appended_at
                yield FetchedRecord(topic, partition, offset, moment, key, value, headers)
        except FAULTS as exc:
            fault = str(exc) if type(exc) is ValueError else "a record in it ends too early"
            yield self._unread(topic, partition, following, Reason.BROKEN_BATCH, fault)

    def _read(self, data: bytes, at: int) -> Fields:
        """The record at `at`, with all checks. Raises one of `FAULTS` when it is malformed."""
        length, at = decode_varint(data, at)
        end = at + length
        if not 0 <= length <= len(data) - at:
            raise ValueError("a record in it is longer than the batch")
        timestamp, at = decode_varint(data, at + 1)
        delta, at = decode_varint(data, at)
        key, at = read_bytes(data, at, end)
        value, at = read_bytes(data, at, end)
        headers_at = at
        count, at = decode_varint(data, at)
        if not 0 <= count <= (end - at) // 2:
            raise ValueError("the number of headers of a record in it is wrong")
        headers: Headers = []
        if count:
            headers, at = read_headers(data, at, end, min(count, MAX_HEADERS))
        if count > MAX_HEADERS:
            at = end  # the others stay encoded: decoding millions of them would take a minute
        if at != end:
            raise ValueError("the length of a record in it is wrong")
        if length > self._limits.record or count > MAX_HEADERS:
            parts = _Parts(
                self.base_offset + delta,
                memoryview(data),
                key,
                value,
                headers,
                count,
                headers_at,
                end,
                self._limits.record,
            )
            return delta, timestamp, *parts.cut(), end
        key_bytes = None if key is None else data[key]
        return delta, timestamp, key_bytes, None if value is None else data[value], headers, end

    def _unread(self, topic: str, partition: int, first: int, reason: Reason, what: str) -> FetchedRecord:
        """One record for all offsets from `first` to the end of the batch."""
        batch = SealedBatch(self.last_offset, NAMES.get(self.compression_type, "none"), self.records_count)
        value = unread_batch(memoryview(self._whole), batch, first, reason, what)
        return FetchedRecord(topic, partition, self.last_offset, self.max_timestamp, None, value)


def unread_batch(whole: memoryview, batch: SealedBatch, first: int, reason: Reason, what: str) -> Unread:
    """The value of the record that stands for a batch: its first bytes in Kafka's format, with the header."""
    kept, whole_cut = cut(whole, VALUE_KEPT)
    digest = sha256(whole).hexdigest() if whole_cut is None else whole_cut.sha256.hex()
    message = (
        f"the batch of offsets {first} to {batch.last_offset} can't be read: {what}"
        f" (codec {batch.codec}, {len(whole)} bytes, SHA-256 {digest})"
    )
    return Unread.of(kept, Account(first, reason, message, whole_cut, batch=batch))


class _Parts(NamedTuple):
    """A record that is too large to be copied."""

    offset: int
    data: memoryview
    key: slice | None
    value: slice | None
    headers: Headers
    header_count: int
    headers_at: int
    end: int
    limit: int

    def cut(self) -> tuple[bytes | None, Unread, Headers]:
        """The first bytes of key, value and headers; the value's account describes what was cut."""
        key, key_cut = (None, None) if self.key is None else cut(self.data[self.key], KEY_KEPT)
        value, value_cut = (b"", None) if self.value is None else cut(self.data[self.value], VALUE_KEPT)
        encoded = self.data[self.headers_at : self.end]
        headers, headers_cut = cut_headers(self.headers, encoded, self.header_count == len(self.headers))
        many = f"{self.header_count} headers are more than the {MAX_HEADERS} allowed"
        large = f"key, value and headers are more than the {self.limit} bytes that are stored of a message"
        message = many if self.header_count > MAX_HEADERS else large
        key_size = 0 if self.key is None else self.key.stop - self.key.start
        account = Account(
            self.offset,
            Reason.OVERSIZED,
            message,
            value_cut,
            key_cut,
            headers_cut,
            null=self.value is None,
            field=larger_part(key_size, len(encoded)),
        )
        return key, Unread.of(value, account), headers
