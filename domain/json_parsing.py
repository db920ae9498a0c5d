"""JSON of a sender: read in time linear in its size, within limits of depth and number.

The parser (msgspec) is fast but has two weak sides. It needs up to 15 us for a number that is hard to round, all of
them in one call that holds Python's lock; and a message of 1 MiB can hold half a million objects, which need a hundred
times the message's memory. Both are bounded here, for every text that somebody else has written.
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
"""Levels of arrays and objects: enough for any real message, far below what the parsers' own stacks can take."""
MAX_CONTAINERS = 50_000
"""Arrays and objects in one message. They take about 10 MB and 30 ms; each may be as large as it likes."""
LARGE = 8 << 10
"""Bytes of JSON from which on numbers are read by Python: below, the hardest ones take the parser 20 ms."""

T = TypeVar("T")

_STEPS = {ord(b"["): 1, ord(b"{"): 1, ord(b"]"): -1, ord(b"}"): -1}
_ALL_ELSE = bytes(set(range(256)) - set(b'"[]{}'))


def _number(digits: str) -> float:
    """A number with a fraction or an exponent, the same as the parser makes of it, in a tenth of its worst time."""
    value = float(digits)
    if math.isinf(value):
        raise ValueError("Number out of range")  # in the words of the parser, which adds the place
    return value


_decode_any = msgspec.json.Decoder(float_hook=_number).decode


def decode_json(text: bytes | str) -> Any:
    """Any JSON value. Raises what `msgspec.json.decode` raises, `RecursionError` and `UnicodeDecodeError` included."""
    return _decode_any(text)


def decoder_of(kind: type[T]) -> Callable[[bytes], T]:
    """A function that decodes a large text to `kind`: see `LARGE`."""
    return msgspec.json.Decoder(kind, float_hook=_number).decode


def read_json(message: bytes) -> Any:
    """Any JSON value, within the limits. Raises `InvalidEventError` for what is no JSON or no UTF-8."""
    text = check_shape(message)
    try:
        value = decode_json(text)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise InvalidEventError(Reason.INVALID_JSON, f"not JSON: {exc}") from exc
    # A pair of backslashes is one that does not escape the `u`. Of a repeated key only the last value counts.
    if "\\u0000" in text.replace("\\\\", "") and _has_null(value):
        raise InvalidEventError(Reason.INVALID_FIELD, "U+0000 can't be stored; leave it out")
    return value


def check_shape(message: bytes) -> str:
    """The text of `message`. Raises `InvalidEventError` when it is no UTF-8 or goes beyond a limit."""
    try:
        text = message.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise InvalidEventError(Reason.INVALID_ENCODING, f"send UTF-8; byte {exc.start} is not") from exc
    brackets = _brackets(message)
    # What is cut off here is beyond the other limit.
    if max(accumulate(map(_STEPS.__getitem__, brackets[: 3 * MAX_CONTAINERS])), default=0) > MAX_DEPTH:
        raise InvalidEventError(Reason.TOO_DEEP, f"nested deeper than {MAX_DEPTH} levels")
    if _openers(brackets) > MAX_CONTAINERS:
        raise InvalidEventError(
            Reason.OVERSIZED, f"more than {MAX_CONTAINERS} arrays and objects; send several events"
        )
    return text


def containers(message: bytes) -> int:
    """How many arrays and objects are in a JSON text."""
    return _openers(_brackets(message))


def has_more_items(message: bytes, most: int) -> bool:
    """Whether the array that `message` is has more items than `most`, found without making any of them.

    What is no JSON may be counted in any way. It goes by pieces, so that no call holds Python's lock for long.
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
    """The brackets outside of strings, in their order. No search begins again at a quote that has no other one."""
    bare = message.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _ALL_ELSE)
    bare = bare.replace(
        b'""', b""
    )  # two quotes side by side change nothing for what is on either side of them
    return b"".join(bare.split(b'"')[::2])


def _has_null(value: Any) -> bool:
    """Whether a key or a string within `value` holds a U+0000."""
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
