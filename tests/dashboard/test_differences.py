"""The two values of a change, and a received message, as a page writes them."""

from __future__ import annotations

from typing import Any

import pytest

from dashboard import differences, received_message
from dashboard.differences import Piece, difference
from dashboard.received_message import received_message as shown
from domain.body import BodyFormat, ReceivedMessage


def marked(pieces: list[Piece]) -> str:
    """The text, with brackets around what is marked."""
    return "".join(f"[{each.text}]" if each.changed else each.text for each in pieces)


@pytest.mark.parametrize(
    ("before", "after", "left", "right"),
    [
        ("1", "2", "[1]", "[2]"),
        (5, 5.5, "[5]", "[5.5]"),
        (None, "x", "[(nothing)]", "[x]"),
        ("the same", "the same", "the same", "the same"),
        ("a text of one word", "a text of two words", "a text of [one] [word]", "a text of [two] [words]"),
        ("old text", "old text, and more", "old text", "old text[, and more]"),
        ("aa", "aa aa", "aa", "aa[ aa]"),
        (["a", "b"], ["a", "c"], '[\n  "a",\n[  "b"\n]]', '[\n  "a",\n[  "c"\n]]'),
        ({"a": 1, "b": 2}, {"b": 2, "a": 3}, '{\n[  "a": 1,\n]  "b": 2\n}', '{\n[  "a": 3,\n]  "b": 2\n}'),
    ],
)
def test_what_only_one_side_has_is_marked(before: Any, after: Any, left: str, right: str) -> None:
    found = difference("x", before, after)
    assert (marked(found.before), marked(found.after)) == (left, right)


def test_every_text_is_shown_whole_unless_it_is_very_long() -> None:
    long = "word " * differences.MOST_SHOWN
    found = difference("x", long + "old", long + "new")
    assert found.cut
    assert sum(len(each.text) for each in found.before) == differences.MOST_SHOWN
    middle = " ".join(f"w{number}" for number in range(2000))
    changed = difference("x", f"begin {middle} end", "begin nothing of it end")
    assert marked(changed.after) == "begin [nothing of it] end"
    assert "".join(each.text for each in changed.before) == f"begin {middle} end"


def test_a_deeply_nested_value_is_not_blown_up() -> None:
    deep: Any = list(range(4000))
    for _ in range(300):
        deep = [deep]
    found = difference("x", deep, None)
    assert sum(len(each.text) for each in found.before) <= differences.MOST_SHOWN


def test_hidden_values_are_called_hidden() -> None:
    found = difference("x", None, None, hidden=True)
    assert marked(found.before) == marked(found.after) == "hidden"


@pytest.mark.parametrize(
    ("message", "text", "pretty"),
    [
        (
            b'{"n": 12345678901234567890123, "f": 1.50}',
            '{\n  "n": 12345678901234567890123,\n  "f": 1.50\n}',
            True,
        ),
        (b"not json \xff\n", "not json \\xff\n", False),
        (b'{"a": "\xff"}', '{"a": "\\xff"}', False),
        (b"", "", False),
    ],
)
def test_a_message_is_text_and_its_numbers_keep_their_digits(message: bytes, text: str, pretty: bool) -> None:
    found = shown(ReceivedMessage(BodyFormat.CLOUDEVENTS, [], message))
    assert (found.text, found.pretty, found.cut, found.bytes) == (text, pretty, False, len(message))


def test_a_long_message_is_cut_and_says_so() -> None:
    message = b'["' + b"a" * (2 * received_message.MOST_SHOWN) + b'"]'
    found = shown(ReceivedMessage(BodyFormat.NATIVE, [], message))
    assert (len(found.text), found.cut, found.bytes) == (received_message.MOST_SHOWN, True, len(message))
