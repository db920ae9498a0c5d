from __future__ import annotations

import json
import time
import timeit
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.body import BodyFormat, read_event
from domain.catalogue import GENERIC_TYPE
from domain.errors import Reason, RejectedError
from domain.event import Outcome
from domain.validation import MAX_DEPTH, decode_event
from interop.decoding import decode

NATIVE = {
    "event_id": "0b6a1f4e-95f7-4c1b-8f2c-0a3d5e6f7a8b",
    "type": "record.read",
    "occurred_at": "2024-05-01T10:00:00Z",
    "source": {"service": "ehr", "site": "north"},
    "actor": {"id": "u-1", "name": "Dr. Example", "roles": ["physician"]},
    "action": "R",
    "patients": [{"id": "17"}],
    "resources": [{"type": "Observation", "id": "4", "version": "2"}],
    "purpose_of_use": ["TREAT"],
    "correlation_id": "c-1",
    "attributes": {"ward": "7"},
}


def rejected(
    value: bytes | None, headers: list[tuple[str, bytes]] | None = None, max_bytes: int = 100_000
) -> RejectedError:
    with pytest.raises(RejectedError) as caught:
        decode(value, headers or [], max_bytes=max_bytes)
    return caught.value


def test_more_headers_than_are_allowed_are_rejected_in_every_format() -> None:
    message = json.dumps(NATIVE).encode()
    assert decode(message, [("h", b"")] * 1000, max_bytes=100_000).body == message
    for headers in ([("h", b"")] * 1001, [(f"ce_{n}", b"x") for n in range(1001)]):
        fault = rejected(message, headers)
        assert (fault.reason, fault.field) == (Reason.OVERSIZED, "headers")


def test_a_native_event_is_its_own_body() -> None:
    message = json.dumps(NATIVE).encode()
    received = decode(message, [("traceparent", b"00")], max_bytes=100_000)
    assert (received.format, received.body) == (BodyFormat.NATIVE, message)
    assert received.event == decode_event(message)


@pytest.mark.parametrize(
    "attributes",
    [
        {"note": 'said "resourceType" and "specversion"'},
        {"resourceType": "Bundle", "specversion": "1.0"},
        {"deep": [{"resourceType": "AuditEvent"}]},
    ],
)
def test_a_native_event_may_speak_of_other_formats(attributes: dict[str, Any]) -> None:
    message = json.dumps(NATIVE | {"attributes": attributes}).encode()
    received = decode(message, [], max_bytes=100_000)
    assert (received.format, received.event.attributes) == (BodyFormat.NATIVE, attributes)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, Reason.TOMBSTONE),
        (b" " * 100_001, Reason.OVERSIZED),
        (b"", Reason.INVALID_JSON),
        (b'{"resourceType": "AuditEvent"', Reason.INVALID_JSON),
        (b'{"specversion": "1.0", "id": }', Reason.INVALID_JSON),
        (b'{"resourceType": "AuditEvent", "id": "\xff"}', Reason.INVALID_ENCODING),
        (b'{"resourceType": "AuditEvent", "agent": ' + b"[" * 100_0 + b"]" * 100_0 + b"}", Reason.TOO_DEEP),
        (b'{"resourceType": "AuditEvent", "agent": ' + b"[" * (MAX_DEPTH + 1), Reason.TOO_DEEP),
        (b'{"resourceType": "Bundle", "entry": []}', Reason.UNKNOWN_FORMAT),
        (b'{"resourceType": 5}', Reason.UNKNOWN_FORMAT),
        (b'{"resourceType": null}', Reason.UNKNOWN_FORMAT),
        (b'[{"resourceType": "AuditEvent"}]', Reason.INVALID_FIELD),
        (b'"resourceType"', Reason.INVALID_FIELD),
        (b'{"resourceType": "AuditEvent", "agent": [{"name": "\\u0000"}]}', Reason.INVALID_FIELD),
    ],
)
def test_a_broken_message_is_rejected_with_its_reason(value: bytes | None, reason: Reason) -> None:
    assert rejected(value).reason is reason


def test_a_header_without_a_value_counts_as_absent() -> None:
    headers: list[tuple[str, bytes | None]] = [("ce_id", None), ("content-type", None), ("x", None)]
    resource = b'{"resourceType": "AuditEvent", "type": {"code": "rest"}}'
    received = decode(resource, headers, max_bytes=100_000)
    assert read_event(received.format, received.body) == received.event


def test_choosing_the_format_adds_little_to_reading_a_native_event() -> None:
    message = json.dumps(NATIVE).encode()
    alone = min(timeit.repeat(lambda: decode_event(message), timer=time.thread_time, number=2000, repeat=7))
    whole = min(
        timeit.repeat(
            lambda: decode(message, [], max_bytes=100_000), timer=time.thread_time, number=2000, repeat=7
        )
    )
    assert whole < alone * 2


text = st.text(max_size=12) | st.sampled_from(
    [
        "AuditEvent",
        "1.0",
        "Patient/1",
        "#a",
        "2024-05-01T10:00:00Z",
        "1",
        "110122",
        "http://x/Device/2",
        "rest",
        "x" * 400,
    ]
)
scalar = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text
keys = st.sampled_from(
    [
        "id",
        "type",
        "subtype",
        "code",
        "coding",
        "system",
        "display",
        "text",
        "category",
        "action",
        "recorded",
        "period",
        "start",
        "end",
        "occurredDateTime",
        "occurredPeriod",
        "outcome",
        "outcomeDesc",
        "detail",
        "agent",
        "who",
        "reference",
        "identifier",
        "value",
        "altId",
        "name",
        "requestor",
        "role",
        "network",
        "networkUri",
        "networkString",
        "address",
        "policy",
        "purposeOfUse",
        "purposeOfEvent",
        "authorization",
        "source",
        "site",
        "observer",
        "entity",
        "what",
        "lifecycle",
        "query",
        "description",
        "securityLabel",
        "patient",
        "contained",
        "resourceType",
        "issue",
        "deviceName",
        "version",
        "meta",
        "profile",
        "extension",
        "url",
        "given",
        "family",
        "specversion",
        "data",
        "data_base64",
        "time",
        "subject",
        "authid",
        "event_id",
        "occurred_at",
        "actor",
    ]
)
anything = st.recursive(
    scalar,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=25,
)
concept = st.builds(lambda code: {"coding": [{"code": code}]}, text)
agent = st.dictionaries(keys, anything, max_size=6)
shaped = st.fixed_dictionaries(
    {"resourceType": st.just("AuditEvent")},
    optional={
        "id": anything,
        "type": st.dictionaries(keys, anything, max_size=3),
        "code": concept,
        "outcome": text | st.dictionaries(keys, anything, max_size=3),
        "recorded": st.just("2024-05-01T10:00:00Z"),
        "period": st.dictionaries(keys, anything, max_size=3),
        "agent": st.lists(agent, max_size=3),
        "entity": st.lists(agent, max_size=3),
        "contained": st.lists(agent, max_size=2),
        "source": agent,
        "patient": anything,
        "purposeOfEvent": anything,
        "meta": anything,
    },
)
cloud = st.fixed_dictionaries(
    {"specversion": st.just("1.0"), "id": text, "source": text, "type": text},
    optional={"data": anything | shaped, "subject": text, "time": text, "authid": scalar},
)
loose = st.dictionaries(keys, anything, max_size=8)
headers = st.lists(
    st.tuples(
        st.sampled_from(["content-type", "ce_id", "ce_type", "ce_specversion", "ce_source", "x"]),
        st.binary(max_size=8),
    ),
    max_size=3,
)
relaxed = settings(
    max_examples=4 * settings().max_examples, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def accepts_or_rejects(value: bytes, given_headers: list[tuple[str, bytes]]) -> None:
    try:
        received = decode(value, given_headers, max_bytes=1_000_000)
    except RejectedError:
        return
    assert read_event(received.format, received.body) == received.event


@relaxed
@given(shaped | cloud | loose | anything)
def test_any_json_is_an_event_that_can_be_read_back_or_is_rejected(payload: Any) -> None:
    accepts_or_rejects(json.dumps(payload).encode(), [])


@relaxed
@given(st.binary(max_size=200) | (shaped | cloud).map(lambda payload: json.dumps(payload).encode()), headers)
def test_any_bytes_with_any_headers_are_an_event_or_rejected(
    value: bytes, given_headers: list[tuple[str, bytes]]
) -> None:
    accepts_or_rejects(value, given_headers)


def test_an_unknown_outcome_says_of_nobody_that_a_login_failed() -> None:
    message = (
        b'{"resourceType":"AuditEvent","type":{"system":"http://dicom.nema.org/resources/ontology/DCM","code":"110114"},'
        b'"recorded":"2026-01-01T00:00:00Z","outcome":"99","agent":[{"requestor":true,"who":{"display":"x"}}],'
        b'"source":{"observer":{"display":"y"}}}'
    )
    event = decode(message, [], max_bytes=10_000).event
    assert event.type == GENERIC_TYPE
    assert event.outcome is Outcome.MINOR_FAILURE
    assert event.codes
