"""Syslog messages keep to the grammar of RFC 5424 whatever an event says, and say where it stands in the log."""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest
from hypothesis import given, settings

from domain.event import RecordedEvent
from interop import syslog
from interop.leaf import LeafFacts
from interop.syslog import Sender
from tests.interop.outgoing_events import EVERY_TYPE, HOSTILE, LEAF, LEAST, LEAVES, recorded

SENDER = Sender("trail.example")

# The ABNF of RFC 5424, section 6, rule for rule.
PRINTUSASCII = rb"[\x21-\x7e]"
SD_NAME = rb"[\x21\x23-\x3c\x3e-\x5c\x5e-\x7e]{1,32}"
PARAM = rb"(?P<name>" + SD_NAME + rb')="(?P<value>(?:[^"\\\]]|\\.)*)"'
ELEMENT = (
    rb"\[(?P<id>" + SD_NAME + rb")(?P<params>(?: " + SD_NAME + rb'="(?:[^"\\\]]|\\["\\\]]|\\[^"\\\]])*")*)\]'
)
TIMESTAMP = (
    rb"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
    rb"T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)"
)
SYSLOG_MSG = re.compile(
    rb"<(?P<pri>\d{1,3})>(?P<version>[1-9]\d{0,2})"
    rb" (?P<timestamp>-|" + TIMESTAMP + rb")"
    rb" (?P<hostname>-|" + PRINTUSASCII + rb"{1,255})"
    rb" (?P<app>-|" + PRINTUSASCII + rb"{1,48})"
    rb" (?P<procid>-|" + PRINTUSASCII + rb"{1,128})"
    rb" (?P<msgid>-|" + PRINTUSASCII + rb"{1,32})"
    rb" (?P<data>-|" + ELEMENT + rb")"
    rb"(?: (?P<msg>(?P<bom>\xef\xbb\xbf)?.*))?",
    re.DOTALL,
)


class Parsed(NamedTuple):
    header: dict[str, bytes]
    id: str
    parameters: dict[str, str]
    body: bytes


def parse(message: bytes) -> Parsed:
    match = SYSLOG_MSG.fullmatch(message)
    assert match, message
    parameters = {
        found["name"].decode(): re.sub(rb'\\(["\\\]])', rb"\1", found["value"]).decode("utf-8")
        for found in re.finditer(PARAM, match["params"], re.DOTALL)
    }
    body = match["msg"] or b""
    if match["bom"]:
        body = body[3:]
        body.decode("utf-8")
    else:
        body.decode("ascii")  # MSG-ANY: without the mark a receiver may assume no more
    return Parsed(match.groupdict(), match["id"].decode(), parameters, body)


def unframed(stream: bytes) -> list[bytes]:
    """RFC 5425: SYSLOG-FRAME = MSG-LEN SP SYSLOG-MSG; MSG-LEN = NONZERO-DIGIT *DIGIT."""
    found = []
    while stream:
        match = re.match(rb"([1-9]\d*) ", stream)
        assert match
        end = match.end() + int(match[1])
        assert len(stream) >= end
        found.append(stream[match.end() : end])
        stream = stream[end:]
    return found


@settings(max_examples=60)
@given(HOSTILE, LEAVES)
def test_every_message_parses_and_brings_back_its_body_and_its_place(
    event: RecordedEvent, leaf: LeafFacts
) -> None:
    body = (event.event.reason or "").encode()
    found = parse(syslog.message(event, leaf, body, SENDER))
    assert found.body == body
    assert found.id == "auditTrail@32473"
    assert found.parameters["position"] == str(leaf.position)
    assert found.parameters.get("previousPosition") == (
        None if leaf.previous_position is None else str(leaf.previous_position)
    )
    assert found.parameters["leafHash"] == leaf.leaf_hash.hex()


@pytest.mark.parametrize("event", EVERY_TYPE, ids=lambda event: event.event.type)
def test_every_type_has_a_header_of_its_own(event: RecordedEvent) -> None:
    header = parse(syslog.message(event, LEAF, b"{}", SENDER)).header
    assert header["version"] == b"1"
    assert header["timestamp"] == b"2026-03-01T09:30:15.123456Z"
    assert header["msgid"] == event.event.type.encode()
    assert int(header["pri"]) // 8 == syslog.FACILITY_AUDIT


@pytest.mark.parametrize(
    ("type", "outcome", "pri"),
    [
        ("record.read", "success", 13 * 8 + 6),
        ("record.read", "minor_failure", 13 * 8 + 4),
        ("record.read", "serious_failure", 13 * 8 + 3),
        ("record.read", "major_failure", 13 * 8 + 2),
        ("integrity_check.failed", "minor_failure", 13 * 8 + 1),
        ("health_check.failed", "success", 13 * 8 + 3),
    ],
)
def test_a_failure_raises_the_severity_of_a_type_and_never_lowers_it(
    type: str, outcome: str, pri: int
) -> None:
    event = recorded(type, LEAST | {"outcome": outcome})
    assert parse(syslog.message(event, LEAF, b"", SENDER)).header["pri"] == str(pri).encode()


def test_a_body_of_plain_ascii_has_no_byte_order_mark_and_any_other_has_one() -> None:
    event = recorded("record.read")
    assert syslog.message(event, LEAF, b'{"a":1}', SENDER).endswith(b'] {"a":1}')
    assert syslog.message(event, LEAF, "ä".encode(), SENDER).endswith(b"] \xef\xbb\xbf\xc3\xa4")


def test_frames_count_octets_and_not_characters() -> None:
    event = recorded("record.read")
    messages = [syslog.message(event, LEAF, body.encode(), SENDER) for body in ("ä€", "", "a\nb")]
    assert unframed(b"".join(map(syslog.frame, messages))) == messages


def test_a_message_for_dicom_has_the_priority_and_message_id_of_its_standard() -> None:
    sender = SENDER._replace(facility=syslog.FACILITY_AUTHPRIV)
    message = syslog.message(
        recorded("record.read"), LEAF, b"<a/>", sender, message_id="DICOM+RFC3881", severity=5
    )
    header = parse(message).header
    assert (header["pri"], header["msgid"]) == (b"85", b"DICOM+RFC3881")


def test_what_a_header_cannot_hold_is_replaced_or_cut_where_it_can_be_seen() -> None:
    sender = Sender("höst name", app_name="a" * 60, process_id="", enterprise="32473.7")
    header = parse(syslog.message(recorded("record.read"), LEAF, b"", sender)).header
    assert header["hostname"] == b"h?st?name"
    assert header["app"] == b"a" * 47 + b"~"
    assert header["procid"] == b"-"
    long = LEAF._replace(origin="o" * 300)
    found = parse(syslog.message(recorded("record.read"), long, b"", sender))
    assert found.id == "auditTrail@32473.7"
    assert found.parameters["origin"] == "o" * 254 + "…"
    assert found.parameters["truncated"] == "origin"


@pytest.mark.parametrize(
    "sender", [Sender("h", facility=24), Sender("h", facility=-1), Sender("h", enterprise="32473]")]
)
def test_a_sender_that_would_break_the_grammar_is_refused(sender: Sender) -> None:
    with pytest.raises(ValueError, match=r"facility|enterprise"):
        syslog.header(recorded("record.read"), sender)
