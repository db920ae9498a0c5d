"""A search for messages that take more than their share of time: fragments of the formats, repeated and combined.

Each case is read at two sizes; a case is kept as a failure when its time for each byte grows with its size.
AUDIT_TRAIL_FUZZ_CASES sets how many cases are tried, AUDIT_TRAIL_FUZZ_SEED which ones.
"""

from __future__ import annotations

import base64
import json
import os
import random
from collections.abc import Callable
from typing import Any

import pytest

from domain.errors import RejectedError
from interop.decoding import decode
from tests.scaling import Hostile, ratio, seconds

CASES = int(os.environ.get("AUDIT_TRAIL_FUZZ_CASES", "300"))
SEED = int(os.environ.get("AUDIT_TRAIL_FUZZ_SEED", "1"))
SMALL, LARGE = 3_000, 24_000
SUSPICIOUS = 12
"""The growth of one quick measurement from which on a case is measured properly; 8 is linear."""

FRAGMENTS = [
    '"', "\\", '\\"', "\\\\", "[", "]", "{", "}", "[]", "{}", ":", ",", '"a":', '"a",', "0,", "5e-324,", "1e",
    ".", "/", "//", "://", "%", "%41", "&", "?", "#", "=", "|", "+", "-", " ", "\\n", "\n", "\t", ";", "~",
    "\\u0000", "\\ud800", "\\u00e9", "\u00e9", "0", "9", "A", "a", "Patient/", "Patient?_id=", "&identifier=",
    "/_history/", "urn:uuid:", "http://a/", "GET ", "trace", "2026-01-01T00:00:00.", "Z", "+00:00",
]  # fmt: skip
PLACES: list[Callable[[Any], Any]] = [
    lambda text: {"entity": [{"what": {"reference": text}}]},
    lambda text: {"entity": [{"what": {"identifier": {"value": text, "type": {"text": text}}}}]},
    lambda text: {"entity": [{"query": base64.b64encode(text.encode("utf-8", "replace")).decode()}]},
    lambda text: {"entity": [{"query": text, "name": text, "description": text}]},
    lambda text: {"agent": [{"who": {"reference": text}, "networkUri": text, "altId": text, "policy": [text]}]},
    lambda text: {"agent": [{"type": {"text": text}, "role": [{"text": text}], "name": text}]},
    lambda text: {"recorded": text},
    lambda text: {"occurredPeriod": {"start": text, "end": text}},
    lambda text: {"subtype": [{"code": text, "system": text}], "action": text, "id": text},
    lambda text: {"contained": [{"id": "c", "name": [{"family": text}]}], "agent": [{"who": "#c"}, {"who": text}]},
]  # fmt: skip
ATTRIBUTES = [
    "id",
    "source",
    "type",
    "time",
    "subject",
    "datacontenttype",
    "traceparent",
    "data",
    "data_base64",
    "authid",
]

Make = Callable[[int], tuple[bytes, list[tuple[str, bytes]]]]


def body(chance: random.Random) -> Callable[[int], str]:
    """A beginning, a middle that is repeated to a size, and an end."""
    begin, middle, end = ("".join(chance.choices(FRAGMENTS, k=chance.randint(0, most))) for most in (3, 3, 3))
    middle = middle or '\\"'
    return lambda size: begin + middle * (size // len(middle)) + end


def case(number: int) -> Hostile:
    chance = random.Random(f"{SEED}.{number}")
    text = body(chance)
    kind = chance.choice(["raw", "string", "native", "fhir", "cloudevent", "binary"])
    place, attribute = chance.choice(PLACES), chance.choice(ATTRIBUTES)

    def make(size: int) -> tuple[bytes, list[tuple[str, bytes]]]:
        given = text(size)
        plain = given.encode("utf-8", "replace")
        cloudevent = {"specversion": "1.0", "id": "1", "source": "s", "type": "t"}
        if kind == "raw":
            return plain, []
        if kind == "string":
            return b'{"resourceType":"AuditEvent","specversion":"' + plain, []
        if kind == "native":
            return (
                b'{"event_id":"6f9619ff-8b86-4d01-b42d-00cf4fc964ff","type":"record.read","attributes":'
                + plain,
                [],
            )
        if kind == "fhir":
            resource = {"resourceType": "AuditEvent", "type": {"code": "1"}}
            return json.dumps(resource | place(given)).encode(), []
        if kind == "cloudevent":
            return json.dumps(cloudevent | {attribute: given}).encode(), []
        return plain, [
            (f"ce_{name}", value.encode()) for name, value in (cloudevent | {attribute: given}).items()
        ]

    return Hostile(f"{kind} {number} {attribute}: {text(40)[:80]!r}", read, make, SMALL)


def read(given: Any) -> object:
    value, headers = given
    return decode(value, headers, max_bytes=1 << 30)


@pytest.mark.parametrize("part", range(5))
def test_no_combination_of_fragments_takes_longer_for_each_byte_when_there_are_more(part: int) -> None:
    for number in range(part, CASES, 5):
        found = case(number)
        small, large = (seconds(read, found.make(size), (RejectedError,)) for size in (SMALL, LARGE))
        if large > SUSPICIOUS * max(small, 0.0005):
            assert ratio(found, RejectedError) <= SUSPICIOUS * 2, found.name
