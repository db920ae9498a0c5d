"""The two values of a change beside each other, with the parts that differ marked."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any

from msgspec import Struct

from dashboard.texts import as_text

MOST_SHOWN = 20_000
"""Characters of a value. The event as JSON has all of it."""
_MOST_COMPARED = 500
"""Words or lines that are compared with as many others: the time grows with the product."""
_WORDS = re.compile(r"\w+|\s+|[^\w\s]")


class Piece(Struct, frozen=True):
    """A part of a value; `changed`: the other value has not this part."""

    text: str
    changed: bool


class Difference(Struct, frozen=True):
    """A changed field, with both values. `cut`: a value is longer than what is shown."""

    path: str
    before: list[Piece]
    after: list[Piece]
    cut: bool


def difference(path: str, before: Any, after: Any, *, hidden: bool = False) -> Difference:
    """The difference of two JSON values; arrays and objects are compared by lines, texts by words."""
    if hidden and before is None and after is None:
        return Difference(path, [Piece("hidden", False)], [Piece("hidden", False)], False)
    texts = [_written(value) for value in (before, after)]
    left, right = (
        _parts(text[:MOST_SHOWN], value) for text, value in zip(texts, (before, after), strict=True)
    )
    shown = _marked(left, right)
    return Difference(path, *shown, any(len(text) > MOST_SHOWN for text in texts))


def _written(value: Any) -> str:
    text = as_text(value)
    if not isinstance(value, list | dict) or len(text) > MOST_SHOWN:
        return text  # deep nesting would make the indented text many times as long
    return json.dumps(value, ensure_ascii=False, sort_keys=True, indent=2)


def _parts(text: str, value: Any) -> list[str]:
    """What is compared as one: a line, a word, or a whole number."""
    if isinstance(value, list | dict):
        return text.splitlines(keepends=True)
    return _WORDS.findall(text) if isinstance(value, str) else [text]


def _marked(left: list[str], right: list[str]) -> tuple[list[Piece], list[Piece]]:
    begin = _same(left, right)
    end = _same(left[begin:][::-1], right[begin:][::-1])
    middles = [each[begin : len(each) - end] for each in (left, right)]
    head, tail = Piece("".join(left[:begin]), False), Piece("".join(left[len(left) - end :]), False)
    one, other = _compared(*middles)
    return _joined([head, *one, tail]), _joined([head, *other, tail])


def _same(left: Sequence[str], right: Sequence[str]) -> int:
    """How many parts are the same from the beginning on."""
    return next(
        (at for at, (one, two) in enumerate(zip(left, right, strict=False)) if one != two),
        min(len(left), len(right)),
    )


def _compared(left: Sequence[str], right: Sequence[str]) -> tuple[list[Piece], list[Piece]]:
    if len(left) > _MOST_COMPARED or len(right) > _MOST_COMPARED:
        return [Piece("".join(left), True)], [Piece("".join(right), True)]
    before, after = [], []
    for what, one, two, three, four in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        before.append(Piece("".join(left[one:two]), what != "equal"))
        after.append(Piece("".join(right[three:four]), what != "equal"))
    return before, after


def _joined(pieces: list[Piece]) -> list[Piece]:
    """The pieces that have a text; neighbours of one kind become one."""
    found: list[Piece] = []
    for piece in pieces:
        if not piece.text:
            continue
        if found and found[-1].changed is piece.changed:
            piece = Piece(found.pop().text + piece.text, piece.changed)  # noqa: PLW2901 - the joined one
        found.append(piece)
    return found
