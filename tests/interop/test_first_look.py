"""The first look at a short native message decides nothing that the careful way would not decide."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import pytest

from domain.errors import InvalidEventError, RejectedError
from domain.json_parsing import LARGE
from domain.validation import MAX_DEPTH, decode_event, decode_flawless
from interop import decoding
from interop.decoding import decode
from tests.ingest.conftest import native

NOW = datetime(2026, 1, 2, tzinfo=UTC)
REQUIRED = {
    "event_id": ['"6f9619ff-8b86-4d01-b42d-00cf4fc964ff"', '"6F9619FF8B864D01B42D00CF4FC964FF"', '"17"'],
    "type": ['"record.read"', '"user.logged_in"', '"record.raed"', '"\\u0072ecord.read"', '""', "7"],
    "occurred_at": [
        '"2026-01-01T10:00:00Z"', '"2026-01-01t10:00:00.123456z"', '"2026-01-01T10:00:00.9999999Z"',
        '"2026-12-31T23:59:60Z"',
        '"2026-01-01T10:00:00"', '"2199-12-31T23:59:59.9999999+00:00"', '"0001-01-01T00:00:00Z"',
        "1767261600",
    ],
    "source": ['{"service":"s"}', '{"service":"s","sequence":1,"instance":"i"}', '{"service":"s","sequence":1}', "{}"],
    "actor": ['{"id":"a"}', '{"kind":"patient","id":"Patient/1"}', '{"id":" a"}', '{"id":"a\\u0000"}', "[]", "null"],
}  # fmt: skip
"""Values of the required fields. The first ones are good."""
OPTIONAL = {
    "resources": ['[{"type":"P","id":"1"}]', "[]", '[{"type":"P","id":"1 "}]', '[{"type":"P","id":"1","x":1}]'],
    "patients": ['[{"id":"1"}]', '[{"id":"patient/1"}]', '[{"id":"a/b"}]', '[{"id":"\u2003x"}]', '[{"id":""}]'],
    "session": ['"s"', '""', "null"],
    "attributes": [
        '{"a":1}', '{"a":"\\\\u0000"}', '{"a":"\\u0000"}', '{"\\u0000":1}', '{"a":1e999}', '{"a":-0.0}', "{}",
        '{"a":' + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1) + "}",
        '{"a":' + "[" * MAX_DEPTH + "]" * MAX_DEPTH + ',"a":0}', '{"a":"[[{{"}',
        '{"specversion":"1.0","resourceType":"AuditEvent"}', '{"note":"say \\"specversion\\""}',
    ],
    "schema_version": ["1", "0", "2", '"1"', "1.0"],
    "outcome": ['"success"', '"Success"'],
    "specversion": ['"1.0"', "null"],
    "id": ['"1"'],
    "data": ['{"a":1}'],
    "resourceType": ['"AuditEvent"', '"Bundle"', "null"],
    "realmId": ['"r"'],
    "position": ["1"],
    "reason": ['"\\ud800"', '"\u00fc"', '"' + "x" * LARGE + '"', '"\x01"'],
    "occurred\\u005fat": ['"2026-01-01T10:00:00.9999999Z"'],
}  # fmt: skip


def random_message(chance: random.Random) -> bytes:
    """A message that is good half of the time, with fields that come twice, and with damaged bytes."""
    fields = {**REQUIRED, **OPTIONAL}
    names = [*REQUIRED, "resources", "session"]
    if chance.random() < 0.5:
        names += chance.choices(list(fields), k=chance.randrange(4))
    if chance.random() < 0.3:
        chance.shuffle(names)
    space = chance.choice(["", " ", "\n"])
    texts = [
        f'"{name}"{space}:{space}{fields[name][0] if chance.random() < 0.9 else chance.choice(fields[name])}'
        for name in names
    ]
    message = bytearray(("{" + f",{space}".join(texts) + "}").encode("utf-8", "surrogatepass"))
    if chance.random() < 0.15:
        at = chance.randrange(len(message))
        message[at : at + chance.randrange(3)] = chance.choice(
            [b"", b'"', b"\\", b"{", b"]", b"\xff", b"\0", b","]
        )
    return bytes(message)


def outcome(message: bytes) -> Any:
    try:
        received = decode(message, [], max_bytes=1 << 20, received_at=NOW)
    except RejectedError as exc:
        return type(exc), exc.reason, exc.field, exc.message
    return received.format, received.body, received.event, received.event.occurred_at.utcoffset()


def test_every_message_has_the_same_event_or_the_same_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(18)
    messages = [random_message(chance) for _ in range(3000)]
    quick = list(map(outcome, messages))
    monkeypatch.setattr(decoding, "decode_flawless", lambda _: None)
    careful = list(map(outcome, messages))
    for message, found, expected in zip(messages, quick, careful, strict=True):
        assert found == expected, message
    accepted = sum(1 for each in quick if len(each) == 4 and isinstance(each[1], bytes))
    assert 600 < accepted < 2400


def test_a_flawless_event_is_the_event_and_none_decides_nothing() -> None:
    chance = random.Random(19)
    flawless = 0
    for _ in range(1000):
        message = random_message(chance)
        event = decode_flawless(message)
        if event is not None:
            assert event == decode_event(message)
            flawless += 1
    assert flawless > 200
    assert decode_flawless(native()) is not None


@pytest.mark.parametrize("depth", [MAX_DEPTH, MAX_DEPTH + 1])
def test_what_a_repeated_key_hides_counts_too(depth: int) -> None:
    hidden = b'"attributes":{"a":' + b"[" * (depth - 2) + b"]" * (depth - 2) + b"}"
    message = native()[:-1] + b"," + hidden + b',"attributes":{}}'
    if depth > MAX_DEPTH:
        with pytest.raises(InvalidEventError, match="nested deeper"):
            decode_event(message)
    else:
        assert decode_event(message).attributes == {}
    assert decode_flawless(message) is None


@pytest.mark.parametrize(
    "character", [" ", "\t", "\n", "\u00a0", "\u2003", "\u3000", "\x1f", "\u200b", "x", "/"]
)
@pytest.mark.parametrize("before", [True, False])
def test_an_id_with_white_space_around_it_is_refused_wherever_it_is(character: str, before: bool) -> None:
    id = f"{character}1" if before else f"1{character}"
    for text in ('"patients":[{"id":%s}]', '"device":{"id":%s}', '"resources":[{"type":"P","id":%s}]'):
        escaped = '"' + "".join(f"\\u{ord(each):04x}" for each in id) + '"'
        message = native()[:-1] + b"," + (text % escaped).encode() + b"}"
        assert (decode_flawless(message) is None) == character.isspace()
        if character.isspace():
            with pytest.raises(InvalidEventError, match="white space"):
                decode_event(message)
