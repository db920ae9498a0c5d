"""Notes, proofs and kits that somebody else has made are checked in time that grows with their size and no faster."""

from __future__ import annotations

import json
from typing import Any

import pytest

from domain.errors import ProofError
from event_store.evidence import report, verify
from event_store.tlog.keys import VerifierKey
from event_store.tlog.notes import Note, SigningKey, verified
from event_store.tlog.proof_files import parse_proof
from event_store.tlog.tiles import decode_entries, parse_path
from event_store.tlog.witness_protocol import AddCheckpoint, parse_size
from tests.scaling import Hostile, assert_linear

KEY = SigningKey.generate("log.example/a")
RECORD = {"position": "1", "recorded_at": "x", "stream": "s", "stream_position": "1", "format": "1"}
DASH = "\u2014 "
SIGNATURE = (DASH + "a AAAAAAA=\n").encode()
PROOF = b"c2sp.org/tlog-proof@v1\nindex "


def signed(size: int) -> bytes:
    """A note whose only key has signed it as often as it may."""
    text = "a\n1\n" + "x" * size + "\n"
    return Note(text, (KEY.sign(text),) * 100).encode()


def line(event: Any) -> bytes:
    return json.dumps(RECORD | {"event": {"type": "t"} | event}).encode()


def nested(depth: int, size: int) -> Any:
    value: Any = "x" * size
    for _ in range(depth):
        value = {"a": value}
    return {"b": value}


def signatures(note: bytes) -> object:
    return verify.signatures("checkpoint", note)


def head(note: bytes) -> object:
    """Look for a thousand keys that have not signed."""
    keys = [verify.Key(f"k{n}", b"1234", verify.ED25519, b"") for n in range(1000)]
    return verify.check_head("checkpoint", note, keys, [])


CASES = [
    Hostile("a note of blank lines", Note.parse, lambda size: b"\n" * size),
    Hostile("a note of signatures", Note.parse, lambda size: b"a\n\n" + SIGNATURE * (size // 14)),
    Hostile("a long signature", Note.parse, lambda size: b"a\n\n" + (DASH + "a " + "A" * size + "\n").encode()),
    Hostile("a note that one key signed often", lambda data: verified(Note.parse(data), [KEY.verifier]), signed),
    Hostile("a key of plus signs", VerifierKey.parse, lambda size: "+" * size),
    Hostile("a proof of lines", parse_proof, lambda size: PROOF + b"1\n" + b"A\n" * (size // 2) + b"\n"),
    Hostile("a proof's index", parse_proof, lambda size: PROOF + b"1" * size + b"\n\n"),
    Hostile("a checkpoint's old size", AddCheckpoint.parse, lambda size: b"old " + b"1" * size + b"\n\n"),
    Hostile("a size", parse_size, lambda size: b"1" * size + b"\n"),
    Hostile("a tile's path", parse_path, lambda size: "tile/0/" + "x000/" * (size // 5)),
    Hostile("a bundle of empty entries", decode_entries, lambda size: b"\0" * size),
    Hostile("a kit's note of signatures", signatures, lambda size: b"a\n\n" + SIGNATURE * (size // 14) + b"!"),
    Hostile("a kit's long signature", signatures, lambda size: f"a\n\n{DASH}a {'A' * size}!".encode()),
    Hostile("a kit's long position", verify.LINE.match, lambda size: b'{"position":' + b"1" * size + b","),
    Hostile("a kit's leaf entry", verify.ENTRY.fullmatch, lambda size: b"audit-trail-entry/1\n" + b"1" * size),
    Hostile("a kit's nested JSON", lambda text: verify.parsed("a", text), lambda size: b"[" * size),
    Hostile("a report of a wide event", report.report_event, lambda size: line({"x": [{"a": "b"}] * (size // 12)})),
    Hostile("a report of a deep event", report.report_event, lambda size: line(nested(size // 500, size))),
    Hostile("a report of hidden signs", report.report_event, lambda size: line({"x": "\u202e" * (size // 6)})),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_checking_takes_time_in_proportion_to_what_is_checked(case: Hostile) -> None:
    assert_linear(case, ProofError, verify.Bad, ValueError)


def test_a_kits_note_is_read_once_for_all_keys() -> None:
    text = "a\n1\n" + "x" * 200_000 + "\n"
    note = Note(text, (KEY.sign(text),)).encode()
    case = Hostile(
        "keys", lambda n: verify.check_head("c", note, [verify.Key("k", b"1234", 1, b"")] * n, []), int, 50
    )
    assert_linear(case, verify.Bad)


def test_a_kits_note_has_a_limit_of_signatures() -> None:
    with pytest.raises(verify.Bad, match="more than 100 signatures"):
        signatures(b"a\n\n" + SIGNATURE * 101)


def test_a_value_is_shown_as_its_fields_and_items() -> None:
    shown = report.readable({"a": [None, True, {"b": "1", "c": [False]}], "d": {}, "e": []})
    assert shown == 'a: [null, yes, {b: "1", c: [no]}], d: {}, e: []'
