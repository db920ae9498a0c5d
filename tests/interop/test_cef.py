"""A CEF message is one line that parses back to what the event says, whatever text is in it."""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest
from hypothesis import given, settings

from domain.catalogue import CATALOGUE
from domain.event import RecordedEvent
from interop import cef
from interop.leaf import LeafFacts
from tests.interop.outgoing_events import EVERY_TYPE, FULL, HOSTILE, LEAF, LEAST, LEAVES, huge, recorded

STANDARD_LENGTHS = {
    "act": 63, "cat": 1023, "c6a2Label": 1023, "cn1Label": 1023, "cn2Label": 1023, "cn3Label": 1023, "cs1": 4000,
    "cs1Label": 1023, "cs2": 4000, "cs2Label": 1023, "cs3": 4000, "cs3Label": 1023, "cs4": 4000, "cs4Label": 1023,
    "cs5": 4000, "cs5Label": 1023, "cs6": 4000, "cs6Label": 1023, "deviceExternalId": 255, "deviceFacility": 1023,
    "externalId": 40, "flexString1": 1023, "flexString1Label": 128, "flexString2": 1023, "flexString2Label": 128,
    "msg": 1023, "outcome": 63, "reason": 1023, "request": 1023, "requestClientApplication": 1023,
    "requestMethod": 1023, "shost": 1023, "sourceServiceName": 1023, "spriv": 1023, "suid": 1023, "suser": 1023,
}  # fmt: skip
"""The lengths of strings in the standard's extension dictionary for producers, version 27."""
OTHER_STANDARD_KEYS = {"cn1", "cn2", "cn3", "c6a2", "src", "rt", "start"}
HEADER_LENGTHS = {"vendor": 63, "product": 63, "version": 31, "class": 1023, "name": 512}

HEADER = re.compile(
    r"CEF:0"
    + "".join(rf"\|(?P<{name}>(?:[^|\\\r\n]|\\[|\\])*)" for name in (*HEADER_LENGTHS, "severity"))
    + r"\|"
)
PAIR = re.compile(r"(?P<key>[A-Za-z0-9]+)=(?P<value>(?:[^=\\\r\n]|\\[=\\nr])*?)(?= [A-Za-z0-9]+=|$)")
ESCAPE = re.compile(r"\\(.)")


class Parsed(NamedTuple):
    header: dict[str, str]
    extension: dict[str, str]


def parse(line: str) -> Parsed:
    """A reader of the standard's grammar that takes nothing else: what it can't read fails."""
    match = HEADER.match(line)
    assert match, line
    at, extension = match.end(), {}
    while at < len(line):
        pair = PAIR.match(line, at)
        assert pair, line[at:]
        assert pair["key"] not in extension
        extension[pair["key"]] = unescaped(pair["value"])
        at = pair.end() + 1
    return Parsed({name: unescaped(value) for name, value in match.groupdict().items()}, extension)


def unescaped(value: str) -> str:
    return ESCAPE.sub(lambda found: {"n": "\n", "r": "\r"}.get(found[1], found[1]), value)


def shown(value: str | None) -> str | None:
    """What a reader sees of a text: no control characters, no white space at its ends."""
    plain = "".join(
        "\ufffd" if (not each.isprintable() and each in CONTROLS) else each for each in value or ""
    ).strip()
    return plain or None


CONTROLS = {
    chr(n) for n in (*range(0x20), *range(0x7F, 0xA0), *range(0x2028, 0x202F), *range(0x2066, 0x206A))
} - {"\n", "\r"}


@settings(max_examples=60)
@given(HOSTILE, LEAVES)
def test_hostile_text_stays_in_its_field(event: RecordedEvent, leaf: LeafFacts) -> None:
    line = cef.message(event, leaf)
    assert line.splitlines() == [line]
    found = parse(line).extension
    said = event.event
    assert found["cn1"] == str(leaf.position)
    assert found["cs1"] == leaf.leaf_hash.hex()
    assert found.get("suid") == shown(said.actor.id)
    assert found.get("sourceServiceName") == shown(said.source.service)
    assert found.get("cs4") == shown(said.correlation_id)
    if said.reason is None or len(said.reason) < 1000:
        assert found.get("msg") == shown(said.reason)


def test_no_text_turns_the_order_of_what_is_read_after_it() -> None:
    line = cef.message(recorded("record.read", FULL | {"reason": "a\u202eb\u2066c\u200fd"}), LEAF)
    assert parse(line).extension["msg"] == "a\ufffdb\ufffdc\u200fd"


@pytest.mark.parametrize("event", EVERY_TYPE, ids=lambda event: event.event.type)
def test_every_type_keeps_to_the_dictionary(event: RecordedEvent) -> None:
    header, extension = parse(cef.message(event, LEAF))
    assert header["class"] == event.event.type
    assert header["name"] == CATALOGUE[event.event.type].description.rstrip(".")
    assert 0 <= int(header["severity"]) <= 10
    for name, length in HEADER_LENGTHS.items():
        assert 0 < len(header[name]) <= length
    for key, value in extension.items():
        assert (
            key in STANDARD_LENGTHS or key in OTHER_STANDARD_KEYS or re.fullmatch(r"AuditTrail[A-Za-z]+", key)
        )
        assert len(value) <= STANDARD_LENGTHS.get(key, 4000)


def test_an_event_with_every_field_is_told_in_full() -> None:
    header, extension = parse(cef.message(recorded("record.updated"), LEAF))
    assert header == {
        "vendor": "Audit Trail",
        "product": "Audit Trail",
        "version": "1",
        "class": "record.updated",
        "name": "A record was changed",
        "severity": "3",
    }
    assert extension == {
        "cn1Label": "position", "cn1": "41",
        "cn2Label": "previousPosition", "cn2": "39",
        "cn3Label": "treeSize", "cn3": "64",
        "cs1Label": "leafHash", "cs1": bytes(range(32)).hex(),
        "cs2Label": "patients", "cs2": "17, lab|18",
        "cs3Label": "resources", "cs3": "Observation/o-1",
        "cs4Label": "correlationId", "cs4": "c-1",
        "cs5Label": "logOrigin", "cs5": "trail.example/log",
        "cs6Label": "session", "cs6": "s-1",
        "flexString1Label": "httpStatus", "flexString1": "200",
        "flexString2Label": "device", "flexString2": "pump-3",
        "externalId": "0b6a1f4e-95f7-4c1b-8f2c-0a3d5e6f7a8b",
        "rt": "1772357415123", "start": "1772357400500",
        "cat": "data", "outcome": "success", "reason": "as asked", "msg": "ward round",
        "sourceServiceName": "patient-service", "deviceFacility": "North", "deviceExternalId": "pod-1",
        "suid": "dr-smith", "suser": "Jo Smith", "spriv": "physician, admin",
        "src": "10.0.0.7", "requestClientApplication": "curl/8",
        "requestMethod": "GET", "request": "/Observation?x=1",
        "AuditTrailActorKind": "user", "AuditTrailOnBehalfOf": "clinic",
        "AuditTrailDataCategories": "laboratory", "AuditTrailChangedFields": "value, status",
        "AuditTrailPurposeOfUse": "TREAT", "AuditTrailEmergency": "true",
        "AuditTrailDisclosureRecipient": "Registry", "AuditTrailDisclosurePurpose": "law",
        "AuditTrailCodes": "urn:x#y", "AuditTrailAttributes": '{"shift":"night","n":1}',
    }  # fmt: skip


@pytest.mark.parametrize(
    ("address", "key", "written"),
    [
        ("192.0.2.1", "src", "192.0.2.1"),
        ("2001:DB8::1", "c6a2", "2001:db8::1"),
        ("fe80::1%eth0", "c6a2", "fe80::1"),
        ("ward-3.example", "shost", "ward-3.example"),
    ],
)
def test_an_address_has_the_key_of_its_kind(address: str, key: str, written: str) -> None:
    event = recorded("record.read", LEAST | {"client": {"address": address}})
    assert parse(cef.message(event, LEAF)).extension[key] == written


def test_what_is_too_long_is_cut_and_says_so() -> None:
    line = cef.message(huge(), LEAF)
    extension = parse(line).extension
    assert len(line.encode()) < 64 << 10
    assert extension["msg"] == "ü" * 1022 + "…"
    patients = extension["cs2"].split(", ")
    assert patients[-1] == f"… {500 - len(patients[:-1])} more"
    assert all(len(patient) == 256 for patient in patients[:-1])
    assert {"msg", "cs2", "cs3", "reason"} <= set(extension["AuditTrailTruncated"].split(","))
    assert "AuditTrailTruncated" not in parse(cef.message(recorded("record.read"), LEAF)).extension
