"""From bytes to an event, or to words that name the field and the fix."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
import pytest

from domain import upcasting
from domain.body import BodyFormat, foreign_message, read_event, read_message
from domain.catalogue import CATALOGUE
from domain.errors import InvalidEventError, Reason
from domain.event import Action, AuditEvent, Outcome
from domain.validation import MAX_DEPTH, check, decode_event, encode_event

GOOD: dict[str, Any] = {
    "event_id": "6f1c2b0e-6a55-4c8e-9a3a-8c0a3a3f0a11",
    "type": "record.updated",
    "occurred_at": "2026-01-01T10:00:00+01:00",
    "source": {"service": "patient-service"},
    "actor": {"id": "u-17", "roles": ["nurse"]},
    "patients": [{"id": "p-1"}, {"id": "p-2"}],
    "resources": [{"type": "Observation", "id": "o-1"}],
    "changes": [{"path": "value", "before": {"mmHg": 120}, "after": None}],
}


def encoded(**fields: Any) -> bytes:
    return msgspec.json.encode(GOOD | fields)


def without(name: str) -> bytes:
    return msgspec.json.encode({key: value for key, value in GOOD.items() if key != name})


def test_a_good_message_keeps_everything_that_it_says() -> None:
    event = decode_event(encoded())
    assert event.event_id == UUID(GOOD["event_id"])
    assert [patient.id for patient in event.patients] == ["p-1", "p-2"]
    assert (event.changes[0].before, event.changes[0].after) == ({"mmHg": 120}, None)
    assert event.occurred_at.utcoffset() is not None
    assert event.outcome is Outcome.SUCCESS
    assert decode_event(encode_event(event)) == event


@pytest.mark.parametrize(
    ("message", "reason", "field"),
    [
        (b"", Reason.INVALID_JSON, ""),
        (b"{", Reason.INVALID_JSON, ""),
        (b"null", Reason.INVALID_FIELD, ""),
        (b"[]", Reason.INVALID_FIELD, ""),
        (b"\xef\xbb\xbf{}", Reason.INVALID_JSON, ""),
        (b'{"type": "\xff"}', Reason.INVALID_ENCODING, ""),
        (without("actor"), Reason.MISSING_FIELD, "actor"),
        (without("event_id"), Reason.MISSING_FIELD, "event_id"),
        (encoded(event_id="17"), Reason.INVALID_FIELD, "event_id"),
        (encoded(occurred_at="2026-01-01T10:00:00"), Reason.INVALID_FIELD, "occurred_at"),
        (encoded(occurred_at="0001-01-01T00:00:00+14:00"), Reason.INVALID_FIELD, "occurred_at"),
        (encoded(occurred_at="9999-12-31T23:59:59-14:00"), Reason.INVALID_FIELD, "occurred_at"),
        (encoded(outcome="fine"), Reason.INVALID_FIELD, "outcome"),
        (encoded(patients=[{"id": "p"}, {"id": 5}]), Reason.INVALID_FIELD, "patients[1].id"),
        (encoded(patients=[{"id": ""}]), Reason.INVALID_FIELD, "patients[0].id"),
        (encoded(patients=[{"id": "x" * 257}]), Reason.INVALID_FIELD, "patients[0].id"),
        (encoded(patients=[{"name": "x"}]), Reason.MISSING_FIELD, "patients[0].id"),
        (encoded(pateints=[]), Reason.UNKNOWN_FIELD, "pateints"),
        (encoded(actor={"id": "a", "rolls": []}), Reason.UNKNOWN_FIELD, "actor.rolls"),
        (encoded(recorded_at="2026-01-01T10:00:00Z"), Reason.UNKNOWN_FIELD, "recorded_at"),
        (encoded(position=1), Reason.UNKNOWN_FIELD, "position"),
        (encoded(type="record.raed"), Reason.UNKNOWN_TYPE, "type"),
        (encoded(type="record.disclosed"), Reason.MISSING_FIELD, "disclosure"),
        (encoded(schema_version=2), Reason.UNSUPPORTED_VERSION, "schema_version"),
        (encoded(schema_version="1"), Reason.UNSUPPORTED_VERSION, "schema_version"),
        (encoded(schema_version=0), Reason.UNSUPPORTED_VERSION, "schema_version"),
        (encoded(reason="a\0b"), Reason.INVALID_FIELD, ""),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, Reason.TOO_DEEP, ""),
    ],
)
def test_a_fault_is_named_by_reason_and_field(message: bytes, reason: Reason, field: str) -> None:
    with pytest.raises(InvalidEventError) as caught:
        decode_event(message)
    assert (caught.value.reason, caught.value.field) == (reason, field)
    assert caught.value.message


def test_an_error_never_quotes_a_value() -> None:
    with pytest.raises(InvalidEventError) as caught:
        decode_event(encoded(outcome="Jane Doe is ill"))
    assert "Jane" not in str(caught.value)


def test_depth_is_counted_outside_of_strings_only() -> None:
    assert decode_event(encoded(reason="[{" * 500, attributes={"list": [[]] * 200})).reason == "[{" * 500
    with pytest.raises(InvalidEventError, match="nested deeper"):
        decode_event(encoded(attributes={"deep": msgspec.json.decode("[" * MAX_DEPTH + "]" * MAX_DEPTH)}))


def test_every_required_field_of_the_catalogue_can_be_checked() -> None:
    event = decode_event(encoded(reason="r"))
    for name, entry in CATALOGUE.items():
        candidate = msgspec.structs.replace(event, type=name)
        missing = {"session", "device", "disclosure", "request"} & set(entry.required)
        if missing:
            with pytest.raises(InvalidEventError) as caught:
                check(candidate)
            assert caught.value.field in missing
        else:
            check(candidate)
        assert isinstance(entry.action, Action)


def _from_version_0(payload: dict[str, Any]) -> dict[str, Any]:
    """A version that was never published: it knew one patient, by another name."""
    return {key: value for key, value in payload.items() if key != "patient"} | {
        "patients": [{"id": payload["patient"]}]
    }


def test_an_older_schema_version_is_upcast_when_received_and_when_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(upcasting.STEPS, 0, _from_version_0)
    payload = {key: value for key, value in GOOD.items() if key != "patients"}
    message = msgspec.json.encode(payload | {"schema_version": 0, "patient": "p-9"})
    for event in (decode_event(message), read_event(BodyFormat.NATIVE, message)):
        assert [patient.id for patient in event.patients] == ["p-9"]
        assert event.schema_version == 1


def test_an_older_version_of_the_same_shape_is_upcast_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(upcasting.STEPS, 0, lambda payload: payload | {"reason": "upcast"})
    message = encoded(schema_version=0)
    assert decode_event(message).reason == "upcast"
    assert read_event(BodyFormat.NATIVE, message).reason == "upcast"


def test_a_foreign_message_stands_beside_its_event_byte_for_byte() -> None:
    event: AuditEvent = decode_event(encoded())
    message = b'{"resourceType":\n "AuditEvent"}\n\n\xff'
    stored = foreign_message(event, BodyFormat.FHIR_R4, [("trace", b"\n\xff")], message)
    assert read_event(stored.format, stored.body) == event
    assert read_message(stored.format, stored.body) == ([("trace", b"\n\xff")], message)
