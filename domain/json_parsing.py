"""Parse untrusted JSON in time linear in its size, within limits of depth and number.

The parser (msgspec) is fast but has two weaknesses. A number that is hard to round takes up to 15 us, and all numbers
are parsed in one call that holds the GIL. A message of 1 MiB can contain half a million objects, which need a hundred
times the memory of the message. This module bounds both for every untrusted text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from itertools import accumulate
from typing import Any, TypeVar

import msgspec

from domain.errors import InvalidEventError, Reason

MAX_DEPTH = 64
"""Nesting levels of arrays and objects: enough for any real message, far below the stack limits of the parsers."""
MAX_CONTAINERS = 50_000
"""Arrays and objects in one message. They take about 10 MB and 30 ms. The size of each is not limited."""
LARGE = 8 << 10
"""From this size in bytes, Python parses the numbers: below it, the hardest numbers take the parser 20 ms."""

T = TypeVar("T")

_STEPS = {ord(b"["): 1, ord(b"{"): 1, ord(b"]"): -1, ord(b"}"): -1}
_ALL_ELSE = bytes(set(range(256)) - set(b'"[]{}'))


def _number(digits: str) -> float:
    """A number with a fraction or an exponent: the parser's result in a tenth of its worst-case time."""
    value = float(digits)
    if math.isinf(value):
        raise ValueError("Number out of range")  # the parser's own text; the parser adds the path
    return value


_decode_any = msgspec.json.Decoder(float_hook=_number).decode


def decode_json(text: bytes | str) -> Any:
    """Any JSON value. Raises the errors of `msgspec.json.decode`, also `RecursionError` and `UnicodeDecodeError`."""
    return _decode_any(text)


def decoder_of(kind: type[T]) -> Callable[[bytes], T]:
    """A decoder of large texts to `kind`: see `LARGE`."""
    return msgspec.json.Decoder(kind, float_hook=_number).decode


def read_json(message: bytes) -> Any:
    """Any JSON value, within the limits. Raises `InvalidEventError` for text that is not JSON or not UTF-8."""
    text = check_shape(message)
    try:
        value = decode_json(text)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise InvalidEventError(Reason.INVALID_JSON, f"not JSON: {exc}") from exc
    # An escaped backslash does not escape the `u`. Of a repeated key only the last value counts.
    if "\\u0000" in text.replace("\\\\", "") and _has_null(value):
        raise InvalidEventError(Reason.INVALID_FIELD, "U+0000 can't be stored; leave it out")
    return value


def read_json_or_bytes(message: bytes) -> Any:
    """The JSON value of `message`, or `message` itself if it is not JSON or exceeds a limit."""
    try:
        return read_json(message)
    except InvalidEventError:
        return message


def check_shape(message: bytes) -> str:
    """The text of `message`. Raises `InvalidEventError` when it is not UTF-8 or exceeds a limit."""
    try:
        text = message.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise InvalidEventError(Reason.INVALID_ENCODING, f"send UTF-8; byte {exc.start} is not") from exc
    brackets = _brackets(message)
    # Brackets beyond this slice exceed the other limit.
    if max(accumulate(map(_STEPS.__getitem__, brackets[: 3 * MAX_CONTAINERS])), default=0) > MAX_DEPTH:
        raise InvalidEventError(Reason.TOO_DEEP, f"nested deeper than {MAX_DEPTH} levels")
    if _openers(brackets) > MAX_CONTAINERS:
        raise InvalidEventError(
            Reason.OVERSIZED, f"more than {MAX_CONTAINERS} arrays and objects; send several events"
        )
    return text


def containers(message: bytes) -> int:
    """The number of arrays and objects in a JSON text."""
    return _openers(_brackets(message))


def has_more_items(message: bytes, most: int) -> bool:
    """Whether the JSON array `message` has more than `most` items. No item is created.

    The result for text that is not JSON is arbitrary. Work proceeds in pieces, so that no call holds the GIL for long.
    """
    if _NO_ITEM.match(message):
        return False
    bare = message.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _NO_STRUCTURE)
    items, depth, inside = 1, 0, 0
    for start in range(0, len(bare), _PIECE):
        parts = bare[start : start + _PIECE].replace(b'""', b"").split(b'"')
        outside = b"".join(parts[inside::2])
        inside ^= (len(parts) - 1) & 1
        for run in _RUNS.findall(outside):
            if run[0] == _COMMA:
                items += len(run) if depth == 1 else 0
            else:
                depth += len(run) if run[0] in b"[{" else -len(run)
        if items > most:
            return True
    return False


_PIECE = 64 << 10
_COMMA = ord(",")
_NO_STRUCTURE = bytes(set(range(256)) - set(b'"[]{},'))
_NO_ITEM = re.compile(rb"\s*+\[\s*+,")
_RUNS = re.compile(rb"[\[{]+|[\]}]+|,+")


def _openers(brackets: bytes) -> int:
    return brackets.count(b"[") + brackets.count(b"{")


def _brackets(message: bytes) -> bytes:
    """The brackets outside of strings, in order, found in linear time even with an unpaired quote."""
    bare = message.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _ALL_ELSE)
    bare = bare.replace(b'""', b"")  # an empty string contains no bracket
    return b"".join(bare.split(b'"')[::2])


def _has_null(value: Any) -> bool:
    """Whether a key or a string within `value` contains U+0000."""
    left = [value]
    while left:
        part = left.pop()
        if isinstance(part, str):
            if "\0" in part:
                return True
        elif isinstance(part, list):
            left += part
        elif isinstance(part, dict):
            left += part
            left += part.values()
    return False
