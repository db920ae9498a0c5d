"""Read messages of Kafka's first two formats (magic 0 and 1) within limits.

A compressed message is a wrapper: its value is a set of messages. The wrapper is checked before any of them is
returned, so that it is either read whole or becomes one dead letter.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from kafka.errors import CorruptRecordError
from kafka.record.default_records import DefaultRecord
from kafka.record.legacy_records import LegacyRecordBatch
from kafka.record.util import calc_crc32

from domain.errors import Reason
from event_store.dead_letters import SealedBatch
from ingest.records.batches import unread_batch
from ingest.records.decompression import GZIP, LZ4, NAMES, SNAPPY, BrokenError, TooLargeError, expand
from ingest.records.unread import KEY_KEPT, VALUE_KEPT, Account, Limits, Unread, cut, larger_part

_SIZES = struct.Struct(">qi")
_HEADS = {0: struct.Struct(">qiIbb"), 1: struct.Struct(">qiIbbq")}
_LENGTH = struct.Struct(">i")
_CRC_COVERS_FROM = 16
_CODEC = 0x07
_NO_TIMESTAMP = -1


class _Message(NamedTuple):
    offset: int
    timestamp: int
    attributes: int
    key: memoryview | None
    value: memoryview | None


class ReadableMessage(LegacyRecordBatch):
    """A message, or a wrapper of messages, that rejects oversized and inconsistent content."""

    __slots__ = ("_limits",)

    def __init__(self, message: LegacyRecordBatch, limits: Limits) -> None:
        for name in LegacyRecordBatch.__slots__:
            setattr(self, name, getattr(message, name))
        self._limits = limits
        if self._offset < 0:
            raise CorruptRecordError("a message has a negative offset")

    def __iter__(self) -> Iterator[DefaultRecord]:
        """The message itself, or the messages in it, or one `Unread` that stands for all of them."""
        try:
            wrapper = _read(self._buffer, self._magic)
            if not wrapper.attributes & _CODEC:
                yield self._record(wrapper, wrapper.offset)
                return
            data = memoryview(self._expanded(wrapper.value))
            moved = self._moved(data)
        except TooLargeError:
            allowed = (
                f"it expands to more than the {self._limits.batch} bytes of AUDIT_TRAIL_KAFKA_MAX_BATCH_BYTES"
            )
            yield self._unread(Reason.OVERSIZED, allowed)
        except (BrokenError, ValueError, struct.error) as exc:
            fault = str(exc) if type(exc) is ValueError else "it can't be decompressed, or ends too early"
            yield self._unread(Reason.BROKEN_BATCH, fault)
        else:
            for message in _messages(data, self._magic):
                yield self._record(message, message.offset + moved)

    def _expanded(self, value: memoryview | None) -> bytes:
        codec = self.compression_type
        if value is None or codec not in {GZIP, SNAPPY, LZ4}:
            raise ValueError("it is compressed but has no value, or its codec is not valid in its format")
        self._assert_has_codec(codec)  # type: ignore[no-untyped-call]
        return expand(codec, value, self._limits.batch)

    def _moved(self, data: memoryview) -> int:
        """The shift of the inner offsets: format 1 counts them from 0, and the wrapper has the offset of the last one.

        Raises `ValueError` when the messages contradict each other, the format or the wrapper.
        """
        before = -1
        for message in _messages(data, self._magic):
            if message.attributes & _CODEC:
                raise ValueError("it contains a compressed message")
            if message.offset <= before:
                raise ValueError("the offsets of its messages are not ascending")
            before = message.offset
        moved = self._offset - before if self._magic else 0
        if before < 0 or moved < 0 or before + moved != self._offset:
            raise ValueError("the offset of its last message is wrong")
        return moved

    def _record(self, message: _Message, offset: int) -> DefaultRecord:
        timestamp = self._timestamp if self.timestamp_type == self.LOG_APPEND_TIME else message.timestamp
        sizes = [len(part) for part in (message.key, message.value) if part is not None]
        if sum(sizes) <= self._limits.record:
            key, value = (None if part is None else part.tobytes() for part in message[3:])
        else:
            key, key_cut = (None, None) if message.key is None else cut(message.key, KEY_KEPT)
            kept, value_cut = cut(message.value or memoryview(b""), VALUE_KEPT)
            fault = (
                f"key and value are more than the {self._limits.record} bytes that are stored of a message"
            )
            account = Account(
                offset,
                Reason.OVERSIZED,
                fault,
                value_cut,
                key_cut,
                null=message.value is None,
                field=larger_part(len(message.key or b""), 0),
            )
            value = Unread.of(kept, account)
        return DefaultRecord(sum(sizes), offset, timestamp, self.timestamp_type, key, value, [])

    def _unread(self, reason: Reason, what: str) -> DefaultRecord:
        batch = SealedBatch(self._offset, NAMES.get(self.compression_type, "none"), None)
        timestamp = _NO_TIMESTAMP if self._timestamp is None else self._timestamp
        value = unread_batch(self._buffer, batch, self._offset, reason, what)
        return DefaultRecord(len(self._buffer), self._offset, timestamp, 0, None, value, [])


def _messages(data: memoryview, magic: int) -> Iterator[_Message]:
    at = 0
    while at < len(data):
        _, length = _SIZES.unpack_from(data, at)
        end = at + _SIZES.size + length
        if length < 0 or end > len(data):
            raise ValueError("a message in it is longer than the whole")
        yield _read(data[at:end], magic, inside=True)
        at = end


def _read(data: memoryview, magic: int, *, inside: bool = False) -> _Message:
    """Parse one message. The client checks the CRC of the outermost; that of an inner one is checked here."""
    head = _HEADS[magic]
    offset, _, crc, found, attributes, *rest = head.unpack_from(data)
    if found != magic:
        raise ValueError("it contains a message of another format")
    if inside and calc_crc32(data[_CRC_COVERS_FROM:]) != crc:
        raise ValueError("the CRC of a message in it is wrong")
    key, at = _bytes(data, head.size)
    value, at = _bytes(data, at)
    if at != len(data):
        raise ValueError("the length of a message is wrong")
    return _Message(offset, rest[0] if rest else _NO_TIMESTAMP, attributes, key, value)


def _bytes(data: memoryview, at: int) -> tuple[memoryview | None, int]:
    (length,) = _LENGTH.unpack_from(data, at)
    at += _LENGTH.size
    if length == -1:
        return None, at
    if not 0 <= length <= len(data) - at:
        raise ValueError("a field is longer than its message")
    return data[at : at + length], at + length
