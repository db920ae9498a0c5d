"""Bytes as a page shows them."""

from __future__ import annotations

import pytest

from dashboard.operations.dead_letters import HEX_BYTES, IN_WORDS, TEXT_BYTES, shown_bytes
from domain.errors import Reason


def test_every_reason_is_in_words() -> None:
    assert set(IN_WORDS) == set(Reason)


@pytest.mark.parametrize("text", ["", "{}", "Grüße\n\tπ"])
def test_text_is_shown_as_text(text: str) -> None:
    shown = shown_bytes(text.encode())
    assert (shown.form, shown.text, shown.left_out) == ("text", text, 0)


@pytest.mark.parametrize("data", [b"\xff", b"a\0b", b"\x1b[2J", "a\u202eb".encode(), "\ud7ff€".encode()[:-1]])
def test_what_is_no_plain_text_is_shown_in_hexadecimal(data: bytes) -> None:
    shown = shown_bytes(data)
    assert (shown.form, shown.text, shown.left_out) == ("hex", f"000000  {data.hex(' ')}", 0)


def test_what_is_shown_is_bounded_and_says_what_is_left_out() -> None:
    for letter in ("a", "€"):  # a bound in the middle of a character
        data = letter.encode() * TEXT_BYTES
        shown = shown_bytes(data)
        assert shown.form == "text"
        assert len(shown.text.encode()) + shown.left_out == len(data)
        assert TEXT_BYTES - 3 <= len(shown.text.encode()) <= TEXT_BYTES
    shown = shown_bytes(b"\xff" * (HEX_BYTES + 5))
    assert (len(shown.text.splitlines()), shown.left_out) == (HEX_BYTES // 16, 5)
