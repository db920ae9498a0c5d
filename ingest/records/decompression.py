"""Decompress Kafka's four codecs up to a limit.

Ten kilobytes of zstd can expand to gigabytes. So the output is counted while it is produced, and never produced in one
piece. The input is passed in small pieces, because a decompressor copies unused input. The libraries are imported on
use: in a damaged installation the Kafka client reports the missing one before that.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
NAMES = {GZIP: "gzip", SNAPPY: "snappy", LZ4: "lz4", ZSTD: "zstd"}
"""Codec names by their number in the batch attributes."""

_PIECE = 16 << 10
_OUTPUT = 1 << 20
_ZSTD_PIECE = 512
"""A zstd block of 4 bytes can expand to 128 KiB, so one piece gives at most 16 MiB beyond the limit."""
_ZSTD_MIN_WINDOW = 8 << 20
"""A decoder must support windows of this size (RFC 8878, section 3.1.1.1.2)."""
_SNAPPY_RATIO = 64
"""No snappy block expands further: its best element produces 64 bytes from 3."""
_XERIAL = b"\x82SNAPPY\x00"
_XERIAL_HEADER = 16


class TooLargeError(Exception):
    """The data expands to more than the limit."""


class BrokenError(Exception):
    """The data does not match its codec, or it ends too early."""


def expand(codec: int, data: memoryview, limit: int) -> bytes:
    """`data` decompressed, at most `limit` bytes. Raises `TooLargeError` or `BrokenError`."""
    chunks: list[bytes] = []
    size = 0
    for chunk in _EXPANDERS[codec](data, limit):
        size += len(chunk)
        if size > limit:
            raise TooLargeError
        chunks.append(chunk)
    return b"".join(chunks)


def _gzip(data: memoryview, _: int) -> Iterator[bytes]:
    member = None
    for piece in _pieces(data, _PIECE):
        rest = piece
        while rest:
            if member is None:
                if not rest.strip(b"\0"):
                    break  # padding after a member
                member = zlib.decompressobj(wbits=31)
            try:
                yield member.decompress(rest, _OUTPUT)
            except zlib.error as exc:
                raise BrokenError from exc
            if member.eof:
                rest, member = member.unused_data, None
            else:
                rest = member.unconsumed_tail
    if member is not None and not member.eof:
        yield from _rest_of_gzip(member)


def _rest_of_gzip(member: zlib._Decompress) -> Iterator[bytes]:
    """The output that the member buffers at the end of the input."""
    while not member.eof:
        chunk = member.decompress(b"", _OUTPUT)
        if not chunk:
            raise BrokenError
        yield chunk


def _lz4(data: memoryview, _: int) -> Iterator[bytes]:
    import lz4.frame  # noqa: PLC0415

    frame = None
    for piece in _pieces(data, _PIECE):
        rest = piece
        while rest or (frame is not None and not frame.needs_input):
            frame = frame or lz4.frame.LZ4FrameDecompressor()
            try:
                yield frame.decompress(rest, max_length=_OUTPUT)
            except (RuntimeError, ValueError, EOFError) as exc:
                raise BrokenError from exc
            rest = b""
            if frame.eof:
                rest, frame = frame.unused_data or b"", None
    if frame is not None or not data:
        raise BrokenError


def _zstd(data: memoryview, limit: int) -> Iterator[bytes]:
    import zstandard  # noqa: PLC0415

    window = max(_ZSTD_MIN_WINDOW, 1 << limit.bit_length())
    decompressor = zstandard.ZstdDecompressor(max_window_size=window)
    frame = None
    for piece in _pieces(data, _ZSTD_PIECE):
        rest = piece
        while rest:
            frame = frame or decompressor.decompressobj()
            try:
                yield frame.decompress(rest)
            except zstandard.ZstdError as exc:
                # The error for a window beyond the limit, which only larger content needs, has no class of its own.
                raise (TooLargeError if "memory" in str(exc) else BrokenError) from exc
            rest = b""
            if frame.eof:
                rest, frame = frame.unused_data, None
    if frame is not None or not data:
        raise BrokenError


def _snappy(data: memoryview, limit: int) -> Iterator[bytes]:
    if data[: len(_XERIAL)] != _XERIAL:
        yield _snappy_block(data, limit)
        return
    at = 0
    while at < len(data):
        if data[at : at + len(_XERIAL)] == _XERIAL:
            at += _XERIAL_HEADER
            continue
        if at + 4 > len(data):
            raise BrokenError
        (length,) = struct.unpack_from(">i", data, at)
        end = at + 4 + length
        if length <= 0 or end > len(data):
            raise BrokenError
        block = _snappy_block(data[at + 4 : end], limit)
        limit -= len(block)
        yield block
        at = end


def _snappy_block(data: memoryview, limit: int) -> bytes:
    """Decompress one block. It states its size first, and the decompressor allocates that much at once."""
    import snappy  # type: ignore[import-untyped]  # noqa: PLC0415

    size = shift = 0
    for byte in data[:5]:
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    else:
        raise BrokenError
    if size > _SNAPPY_RATIO * len(data):
        raise BrokenError
    if size > limit:
        raise TooLargeError
    try:
        block: bytes = snappy.decompress(data.tobytes())
    except snappy.UncompressError as exc:
        raise BrokenError from exc
    return block


def _pieces(data: memoryview, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size].tobytes()


_EXPANDERS = {GZIP: _gzip, SNAPPY: _snappy, LZ4: _lz4, ZSTD: _zstd}
