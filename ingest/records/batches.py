"""Record batches of the current format (magic 2), read within bounds.

What can be read of a batch is read. What can't, up to the batch's last offset, becomes one record whose value is
`Unread`: a dead letter in the end, behind which ingest goes on. Its offset is the batch's last one, so that the client
never passes over it and asks for what follows.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, NamedTuple

from kafka.errors import CorruptRecordError
from kafka.record.default_records import DefaultRecord, DefaultRecordBatch
from kafka.record.util import decode_varint

from domain.errors import Reason
from event_store.dead_letters import SealedBatch
from ingest.records.decompression import NAMES, BrokenError, TooLargeError, expand
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

_LEAST_RECORD = 7
"""Bytes: the length, attributes, two deltas, and three lengths of nothing."""
_LEAST_EVENT = 100
"""Bytes. No record that holds an event is smaller: a batch of more records would be a flood of dead letters."""
_FAULTS = (ValueError, IndexError, struct.error, TypeError)


class ReadableBatch(DefaultRecordBatch):
    """A batch that refuses what is too large or contradicts itself, and is otherwise the client's own."""

    __slots__ = ("_limits", "_whole")

    def __init__(self, batch: DefaultRecordBatch, limits: Limits) -> None:
        # Not the client's own constructor, which would copy the buffer again.
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
        """The mark of a transaction, which is all that the client asks for in this way. None in an emptied batch."""
        if not self.records_count:
            return None
        try:
            return super().__next__()  # type: ignore[no-untyped-call]
        except (*_FAULTS, StopIteration) as exc:
            raise CorruptRecordError("the mark of a transaction can't be read") from exc

    next = __next__

    def __iter__(self) -> Iterator[DefaultRecord]:
        """The records, and at most one `Unread` at the end that stands for all that could not be read."""
        self._whole = bytes(self._buffer)
        self._buffer = self._whole  # type: ignore[assignment]
        try:
            data, at = self._expanded()
        except TooLargeError:
            allowed = (
                f"it expands to more than the {self._limits.batch} bytes of AUDIT_TRAIL_KAFKA_MAX_BATCH_BYTES,"
                " or has more records than events could be in so many bytes"
            )
            yield self._unread(self.base_offset, Reason.OVERSIZED, allowed)
            return
        except BrokenError:
            name = NAMES.get(self.compression_type, "known")
            what = f"it is no {name} data, or is cut short"
            yield self._unread(self.base_offset, Reason.BROKEN_BATCH, what)
            return
        yield from self._records(data, at)

    def _expanded(self) -> tuple[bytes, int]:
        """The records' bytes, and where they begin."""
        if self.records_count > self._limits.batch // _LEAST_EVENT:
            raise TooLargeError
        if self.compression_type == self.CODEC_NONE:
            return self._whole, self._pos
        if self.compression_type not in NAMES:
            raise BrokenError
        self._assert_has_codec(self.compression_type)  # type: ignore[no-untyped-call]
        return expand(self.compression_type, memoryview(self._whole)[self._pos :], self._limits.batch), 0

    def _records(self, data: bytes, at: int) -> Iterator[DefaultRecord]:
        count, last = self.records_count, self.last_offset
        following = self.base_offset
        try:
            if not 0 <= count <= (len(data) - at) // _LEAST_RECORD:
                raise ValueError("it does not hold as many records as it says")
            if not count and at != len(data):
                raise ValueError("it has no records and is not empty")
            for left in range(count - 1, -1, -1):
                record, at = self._read(data, at)
                if not following <= record.offset <= last - left:
                    raise ValueError("the offsets of its records do not go up, or leave the batch")
                # Seen before the last record is given away: behind it nothing of this batch would be fetched again.
                if not left and at != len(data):
                    raise ValueError("there is more behind its last record")
                following = record.offset + 1
                yield record
        except _FAULTS as exc:
            told = str(exc) if type(exc) is ValueError else "a record in it ends too early"
            yield self._unread(following, Reason.BROKEN_BATCH, told)

    def _read(self, data: bytes, at: int) -> tuple[DefaultRecord, int]:
        """The record at `at`, and where the next one begins. Raises one of `_FAULTS` when it is malformed."""
        length, at = decode_varint(data, at)
        end = at + length
        if not 0 <= length <= len(data) - at:
            raise ValueError("a record in it is longer than the batch")
        timestamp, at = decode_varint(data, at + 1)
        timestamp = self.max_timestamp if self.timestamp_type else self.first_timestamp + timestamp
        delta, at = decode_varint(data, at)
        key, at = _bytes(data, at, end)
        value, at = _bytes(data, at, end)
        headers_at = at
        count, at = decode_varint(data, at)
        if not 0 <= count <= (end - at) // 2:
            raise ValueError("a record in it does not hold as many headers as it says")
        headers: Headers = []
        if count:
            headers, at = _headers(data, at, end, min(count, MAX_HEADERS))
        if count > MAX_HEADERS:
            at = end  # the others are kept as bytes: to walk through millions of them would take a minute
        if at != end:
            raise ValueError("a record in it is not as long as it says")
        offset = self.base_offset + delta
        kept: tuple[bytes | None, bytes | None, Headers]
        if length > self._limits.record or count > MAX_HEADERS:
            parts = _Parts(
                offset, memoryview(data), key, value, headers, count, headers_at, end, self._limits.record
            )
            kept = parts.cut()
        else:
            kept = (None if key is None else data[key], None if value is None else data[value], headers)
        return DefaultRecord(length, offset, timestamp, self.timestamp_type, *kept), end

    def _unread(self, first: int, reason: Reason, what: str) -> DefaultRecord:
        """One record for all from `first` to the end of the batch."""
        return unread_batch(
            memoryview(self._whole),
            SealedBatch(self.last_offset, NAMES.get(self.compression_type, "none"), self.records_count),
            first,
            reason,
            what,
            self.max_timestamp,
        )


def unread_batch(
    whole: memoryview, batch: SealedBatch, first: int, reason: Reason, what: str, timestamp: int
) -> DefaultRecord:
    """The record that stands for a batch. Its value is the batch's first bytes as Kafka has them, header included."""
    kept, whole_cut = cut(whole, VALUE_KEPT)
    digest = sha256(whole).hexdigest() if whole_cut is None else whole_cut.sha256.hex()
    message = (
        f"the batch of offsets {first} to {batch.last_offset} can't be taken: {what}"
        f" (codec {batch.codec}, {len(whole)} bytes, SHA-256 {digest})"
    )
    account = Account(first, reason, message, whole_cut, batch=batch)
    return DefaultRecord(len(whole), batch.last_offset, timestamp, 0, None, Unread.of(kept, account), [])


def _bytes(data: bytes, at: int, end: int) -> tuple[slice | None, int]:
    """Where the nullable bytes at `at` are, and where they end."""
    length, at = decode_varint(data, at)
    if length < 0:
        return None, at
    if length > end - at:
        raise ValueError("a field in it is longer than its record")
    return slice(at, at + length), at + length


def _headers(data: bytes, at: int, end: int, count: int) -> tuple[Headers, int]:
    r"""The headers, and where they end.

    A name is UTF-8 by the protocol and no broker checks it, so what is not is shown as ``\xff``.
    """
    headers: Headers = []
    for _ in range(count):
        name, at = _bytes(data, at, end)
        if name is None:
            raise ValueError("a header in it has no name")
        value, at = _bytes(data, at, end)
        text = data[name].decode("utf-8", "backslashreplace")
        headers.append((text, None if value is None else data[value]))
    return headers, at


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
        """Key, value and headers: the first bytes of each, and what was cut in the value's account."""
        key, key_cut = (None, None) if self.key is None else cut(self.data[self.key], KEY_KEPT)
        value, value_cut = (b"", None) if self.value is None else cut(self.data[self.value], VALUE_KEPT)
        encoded = self.data[self.headers_at : self.end]
        headers, headers_cut = cut_headers(self.headers, encoded, self.header_count == len(self.headers))
        many = f"{self.header_count} headers are more than the {MAX_HEADERS} allowed"
        large = f"key, value and headers are more than the {self.limit} bytes that are kept of a message"
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
