"""A native message is read, or refused, in time and memory that grow with its size and no faster."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import msgspec
import pytest

from domain.access.person_names import has_name, is_like
from domain.errors import InvalidEventError, Reason
from domain.json_parsing import (
    LARGE,
    MAX_CONTAINERS,
    MAX_DEPTH,
    check_shape,
    decode_json,
    has_more_items,
    read_json,
)
from domain.validation import decode_event
from tests.scaling import Hostile, assert_linear, peak_megabytes

BEGIN = (
    b'{"event_id":"6f9619ff-8b86-4d01-b42d-00cf4fc964ff","type":"record.read","occurred_at":"2026-01-01T00:00:00Z",'
    b'"source":{"service":"s"},"actor":{"id":"a"},"resources":[{"type":"P","id":"1"}]'
)


def filled(begin: bytes, item: bytes, end: bytes, size: int) -> bytes:
    """`item` again and again, with commas, between `begin` and `end`."""
    return begin + b",".join([item] * max(1, (size - len(begin) - len(end)) // (len(item) + 1))) + end


def numbered(begin: bytes, item: bytes, end: bytes, size: int) -> bytes:
    """The same with a number in each item, so that no two are alike."""
    number = max(1, (size - len(begin) - len(end)) // (len(item) + 4))
    return begin + b",".join(item % each for each in range(number)) + end


def attributes(item: bytes, size: int) -> bytes:
    return filled(BEGIN + b',"attributes":{"a":[', item, b"]}}", size)


def count_items(text: bytes) -> bool:
    return has_more_items(text, 1 << 40)


CASES = [
    Hostile("an unterminated string of escaped quotes", decode_event, lambda size: b'"' + b'\\"' * (size // 2)),
    Hostile("escaped quotes in an event", decode_event, lambda size: BEGIN + b',"reason":"' + b'\\"' * (size // 2)),
    Hostile("quotes", decode_event, lambda size: b'"' * size),
    Hostile("backslashes", decode_event, lambda size: b'"' + b"\\" * size),
    Hostile("a string and then brackets", decode_event, lambda size: b'"' + b'\\"[' * (size // 3)),
    Hostile("open brackets", decode_event, lambda size: b"[" * size),
    Hostile("closed brackets", decode_event, lambda size: b"]" * size),
    Hostile("pairs of brackets", decode_event, lambda size: b"[]" * (size // 2)),
    Hostile("nested objects", decode_event, lambda size: b'{"a":' * (size // 5)),
    Hostile("small objects", decode_event, lambda size: attributes(b"{}", size)),
    Hostile("small arrays", decode_event, lambda size: attributes(b"[]", size)),
    Hostile("objects with a key", decode_event, lambda size: attributes(b'{"a":0}', size)),
    Hostile("towers as deep as allowed", decode_event, lambda size: attributes(b"[" * 60 + b"]" * 60, size)),
    Hostile("small numbers", decode_event, lambda size: attributes(b"1", size)),
    Hostile("long numbers", decode_event, lambda size: attributes(b"9" * 4300, size)),
    Hostile("one long number", decode_event, lambda size: attributes(b"9" * size, size)),
    Hostile("one long fraction", decode_event, lambda size: attributes(b"0." + b"9" * size, size)),
    Hostile("one long exponent", decode_event, lambda size: attributes(b"1e" + b"9" * size, size)),
    Hostile("the smallest number", decode_event, lambda size: attributes(b"5e-324", size)),
    Hostile("the largest number", decode_event, lambda size: attributes(b"1.7976931348623158079e308", size)),
    Hostile("keys", decode_event, lambda size: numbered(BEGIN + b',"attributes":{', b'"k%d":0', b"}}", size)),
    Hostile("unknown fields", decode_event, lambda size: numbered(BEGIN + b",", b'"k%d":0', b"}", size)),
    Hostile("patients", decode_event, lambda size: numbered(BEGIN + b',"patients":[', b'{"id":"%d"}', b"]}", size)),
    Hostile("changes", decode_event, lambda size: numbered(BEGIN + b',"changes":[', b'{"path":"%d"}', b"]}", size)),
    Hostile("codes and a fault", decode_event, lambda size: filled(BEGIN + b',"codes":[', b"{}", b'],"x":1}', size)),
    Hostile("escaped nulls", read_json, lambda size: filled(b'["', b'\\u0000","', b'"]', size)),
    Hostile("what looks like nulls", read_json, lambda size: filled(b'["', b'\\\\u0000","', b'"]', size)),
    Hostile("a field like a path", decode_event, lambda size: BEGIN + b',"' + b" - at `$." * (size // 9) + b'":1}'),
    Hostile("a type of many words", decode_event, lambda size: BEGIN.replace(b"read", b"read." * (size // 5)) + b"}"),
    Hostile("an array of items", count_items, lambda size: b"[" + b"[0],0," * (size // 6)),
    Hostile("an array of strings", count_items, lambda size: b"[" + b'",",' * (size // 4)),
    Hostile("an array of spaces", count_items, lambda size: b"[" + b" " * size),
    Hostile("a name in an address", has_name, lambda size: "%41" * (size // 3)),
    Hostile("accents on nothing", has_name, lambda size: "\u0301\u0323" * (size // 2)),
    Hostile("ligatures that fall apart", has_name, lambda size: "\ufc5e" * size),
    Hostile("a name that is like another", lambda text: is_like(text, text), lambda size: "\u0131" * size),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_reading_takes_time_in_proportion_to_the_message(case: Hostile) -> None:
    assert_linear(case, InvalidEventError)


@pytest.mark.parametrize("case", [each for each in CASES if each.work is decode_event], ids=str)
def test_a_message_of_a_mebibyte_needs_some_tens_of_megabytes(case: Hostile) -> None:
    assert peak_megabytes(case.work, case.make(1 << 20), InvalidEventError) < 64


def test_numbers_that_are_hard_to_round_take_no_longer_than_others() -> None:
    def took(number: bytes) -> float:
        message = attributes(number, 20_000 * (len(number) + 1))
        began = time.thread_time()
        decode_event(message)
        return time.thread_time() - began

    easy = min(took(b"1.5") for _ in range(3))
    assert all(
        min(took(hard) for _ in range(3)) < 20 * easy for hard in (b"5e-324", b"2.2250738585072011e-308")
    )


def test_numbers_are_the_same_in_a_large_text_as_in_a_small_one() -> None:
    random.seed(7)
    numbers = [f"{random.getrandbits(80)}e{random.randrange(-345, 280)}".encode() for _ in range(2000)]
    assert decode_json(b"[" + b",".join(numbers) + b"]") == [msgspec.json.decode(each) for each in numbers]


@pytest.mark.parametrize("padding", [0, LARGE])
def test_a_number_that_is_too_large_is_refused_alike_in_a_text_of_any_size(padding: int) -> None:
    message = BEGIN + b',"attributes":{"a":[1e400]}' + b" " * padding + b"}"
    with pytest.raises(InvalidEventError) as caught:
        decode_event(message)
    assert (caught.value.reason, caught.value.message) == (
        Reason.INVALID_JSON,
        "not JSON: Number out of range - at `$[...][...][0]`",
    )


def test_arrays_and_objects_have_a_limit_which_brackets_in_strings_are_not_counted_for() -> None:
    most: list[Any] = [[]] * (MAX_CONTAINERS - 1)
    assert read_json(json.dumps(most).encode()) == most
    assert read_json(json.dumps(["[{" * MAX_CONTAINERS]).encode()) == ["[{" * MAX_CONTAINERS]
    with pytest.raises(InvalidEventError) as caught:
        read_json(json.dumps([*most, []]).encode())
    assert caught.value.reason is Reason.OVERSIZED
    assert str(MAX_CONTAINERS) in caught.value.message


@pytest.mark.parametrize("text", ['\\"', "\\\\", '\\\\\\"[', "]", "[" * 99, '"', '\\\\"'])
def test_depth_is_that_of_the_brackets_outside_of_strings(text: str) -> None:
    deep = "[" * (MAX_DEPTH - 1) + json.dumps([text, {text: text}]) + "]" * (MAX_DEPTH - 1)
    with pytest.raises(InvalidEventError) as caught:
        check_shape(deep.encode())
    assert caught.value.reason is Reason.TOO_DEEP
    assert check_shape(deep[1:-1].encode()) == deep[1:-1]


def test_the_items_of_an_array_are_counted_without_what_is_inside_of_them() -> None:
    random.seed(11)
    values: list[Any] = [
        0,
        "",
        ",",
        '"',
        "\\",
        '\\",[',
        [],
        {},
        [0, [1, {"a": [2, 3]}]],
        {"a,": ",", "b": [0, 0]},
    ]
    for _ in range(500):
        array = random.choices(values, k=random.randrange(1, 9))
        text = json.dumps(array, indent=random.choice([None, 1])).encode()
        assert has_more_items(text, len(array) - 1)
        assert not has_more_items(text, len(array))
    many = json.dumps(["a,b", '"[', [1, 2]] * 50_000).encode()
    assert has_more_items(many, 149_999)
    assert not has_more_items(many, 150_000)
