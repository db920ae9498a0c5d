"""Messages of other systems that were once misread, and their neighbours."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from domain.body import Received, is_same_content, read_event
from domain.errors import Reason, RejectedError
from domain.event import AuditEvent
from interop.decoding import Headers, decode

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LATER = datetime(2030, 1, 2, tzinfo=UTC)
DCM = "http://dicom.nema.org/resources/ontology/DCM"
NATIVE: dict[str, Any] = {
    "event_id": "0b6a1f4e-95f7-4c1b-8f2c-0a3d5e6f7a8b",
    "type": "record.read",
    "occurred_at": "2024-05-01T10:00:00Z",
    "source": {"service": "patient-service"},
    "actor": {"id": "u-1"},
    "resources": [{"type": "Patient", "id": "17"}],
}
CLOUDEVENT = {"specversion": "1.0", "id": "1", "source": "/clinic", "type": "com.example.thing"}
FHIR: dict[str, Any] = {
    "resourceType": "AuditEvent",
    "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest"},
    "subtype": [{"system": "http://hl7.org/fhir/restful-interaction", "code": "read"}],
    "action": "R",
    "recorded": "2024-05-01T10:00:00Z",
    "outcome": "0",
    "agent": [{"who": {"reference": "Practitioner/17"}, "requestor": True}],
    "source": {"observer": {"display": "gateway"}},
}


def read(payload: Any, headers: Headers = (), received_at: datetime = NOW) -> AuditEvent:
    message = None if payload is None else json.dumps(payload).encode()
    received = decode(message, headers, max_bytes=100_000, received_at=received_at)
    assert read_event(received.format, received.body) == received.event
    return received.event


def rejected(payload: Any, headers: Headers = ()) -> RejectedError:
    with pytest.raises(RejectedError) as caught:
        read(payload, headers)
    return caught.value


def binary(**attributes: str) -> list[tuple[str, bytes]]:
    return [(f"ce_{name}", value.encode()) for name, value in (CLOUDEVENT | attributes).items()]


@pytest.mark.parametrize(
    "id",
    [
        "Patient/17",
        "patient/17",
        "/Patient/17",
        "https://a.example/fhir/Patient/17",
        " 17",
        "17\n",
        "\u00a017",
    ],
)
def test_a_native_patient_id_stands_alone(id: str) -> None:
    error = rejected(NATIVE | {"patients": [{"id": "1"}, {"id": id}]})
    assert (error.reason, error.field) == (Reason.INVALID_FIELD, "patients[1].id")
    assert rejected(NATIVE | {"actor": {"kind": "patient", "id": id}}).field == "actor.id"


@pytest.mark.parametrize("id", ["2024/123", "DOE^^JANE", "MRN 17", "Outpatient/3"])
def test_an_id_may_hold_signs_within(id: str) -> None:
    assert read(NATIVE | {"patients": [{"id": id}]}).patients[0].id == id


@pytest.mark.parametrize("field", ["actor", "device"])
def test_ids_of_others_have_no_white_space_around_them_either(field: str) -> None:
    assert rejected(NATIVE | {field: {"id": "x "}}).field == f"{field}.id"
    assert rejected(NATIVE | {"resources": [{"type": "Patient", "id": " 17"}]}).field == "resources[0].id"


@pytest.mark.parametrize(
    ("elements", "type"),
    [
        ({"code": "110106", "detail": "LOG_READ", "action": "R"}, "event.unclassified"),
        ({"code": "110107", "detail": "LOG_READ", "action": "R"}, "event.unclassified"),
        ({"code": "110106", "detail": None, "action": "R"}, "record.exported"),
        ({"code": "110106", "detail": None, "action": "D"}, "event.unclassified"),
        ({"code": "110101", "detail": None, "action": "D"}, "event.unclassified"),
        ({"code": "110101", "detail": "LOG_READ", "action": "R"}, "audit_log.read"),
    ],
)
def test_a_general_code_decides_nothing_that_a_more_precise_one_contradicts(
    elements: dict[str, Any], type: str
) -> None:
    detail = elements["detail"] and [
        {"system": "https://codes.example/log-event-type", "code": elements["detail"]}
    ]
    event = {
        "type": {"system": DCM, "code": elements["code"]},
        "subtype": detail,
        "action": elements["action"],
    }
    assert read(FHIR | event).type == type


@pytest.mark.parametrize(
    ("interaction", "action", "type"),
    [
        ("read", "D", "event.unclassified"),
        ("delete", "R", "event.unclassified"),
        ("create", "R", "event.unclassified"),
        ("update", "C", "record.updated"),
        ("search-type", "E", "record.searched"),
        ("read", None, "record.read"),
    ],
)
def test_an_interaction_and_its_action_have_to_agree(interaction: str, action: str | None, type: str) -> None:
    subtype = [{"system": "http://hl7.org/fhir/restful-interaction", "code": interaction}]
    assert read(FHIR | {"subtype": subtype, "action": action}).type == type


def test_a_cloudevent_without_data_is_the_same_in_both_modes() -> None:
    structured = read(CLOUDEVENT)
    assert read(None, binary()) == structured
    assert rejected(None).reason is Reason.TOMBSTONE
    assert rejected(None, [("content-type", b"application/cloudevents+json")]).reason is Reason.TOMBSTONE


@pytest.mark.parametrize("item", [NATIVE, FHIR])
def test_several_events_in_a_cloudevent_are_rejected_in_both_modes(item: dict[str, Any]) -> None:
    for error in (
        rejected(CLOUDEVENT | {"data": [item]}),
        rejected([item, item], [*binary(), ("content-type", b"application/json")]),
    ):
        assert (error.reason, error.field) == (Reason.INVALID_FIELD, "data")
    bundle = {"resourceType": "Bundle", "entry": [{"resource": item}]}
    assert rejected(CLOUDEVENT | {"data": bundle}).reason is Reason.UNKNOWN_FORMAT
    assert read(CLOUDEVENT | {"data": [1, 2]}).type == "event.unclassified"


def received(payload: Any, headers: Headers = (), received_at: datetime = NOW) -> Received:
    message = None if payload is None else json.dumps(payload).encode()
    return decode(message, headers, max_bytes=100_000, received_at=received_at)


def same(one: Received, other: Received) -> bool:
    return is_same_content((one.format, one.body), (other.format, other.body))


def test_another_try_of_a_cloudevent_without_time_is_the_same_event() -> None:
    first = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    second = "00-1af7651916cd43dd8448eb211c80319d-b7ad6b7169203331-01"
    one = received(None, binary(traceparent=first), NOW)
    other = received(None, binary(traceparent=second, tracestate="a=b"), LATER)
    assert one.event != other.event
    assert same(one, other)
    assert not same(one, received(None, binary(traceparent=first, subject="x"), NOW))
    timed = received(None, binary(time="2024-05-01T10:00:00Z"))
    assert not same(timed, received(None, binary(time="2024-05-01T10:00:01Z")))


def test_the_same_cloudevent_in_both_modes_and_in_another_order_of_keys_is_the_same() -> None:
    data = {"drug": "saline", "ml": 1}
    structured = received(CLOUDEVENT | {"datacontenttype": "application/json", "data": data})
    headers = [*binary(), ("content-type", b"application/json")]
    assert same(structured, received({"ml": 1, "drug": "saline"}, headers))
    assert same(received(NATIVE), received(CLOUDEVENT | {"data": NATIVE}))
    assert same(received(FHIR), received(CLOUDEVENT | {"data": FHIR}))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (CLOUDEVENT | {"data": {"drug": "saline"}}, CLOUDEVENT | {"data": {"drug": "morphine"}}),
        (CLOUDEVENT | {"data": {"a": 1}}, CLOUDEVENT | {"data": {"a": True}}),
        (CLOUDEVENT | {"data": "text"}, CLOUDEVENT | {"data": "another"}),
        (CLOUDEVENT | {"data_base64": "AAAA"}, CLOUDEVENT | {"data_base64": "AAAB"}),
        (FHIR | {"extension": [{"url": "a"}]}, FHIR | {"extension": [{"url": "b"}]}),
        (
            FHIR | {"entity": [{"detail": [{"valueString": "1"}]}]},
            FHIR | {"entity": [{"detail": [{"valueString": "2"}]}]},
        ),
        (NATIVE | {"attributes": {"traceparent": "a"}}, NATIVE | {"attributes": {"traceparent": "b"}}),
        (
            NATIVE | {"attributes": {"occurred_at_from": "receipt"}},
            NATIVE | {"attributes": {"occurred_at_from": "receipt"}, "occurred_at": "2024-05-02T10:00:00Z"},
        ),
    ],
)  # fmt: skip
def test_no_message_hides_another_one_with_its_id(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert not same(received(one), received(other))
    assert same(received(one), received(dict(reversed(one.items()))))


@pytest.mark.parametrize(
    "time",
    ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1970-01-01T14:00:00+14:00", "9999-12-31T23:59:59Z"],
)
def test_an_unset_date_is_no_time_in_any_format(time: str) -> None:
    assert rejected(NATIVE | {"occurred_at": time}).field == "occurred_at"
    for event in (read(CLOUDEVENT | {"time": time}), read(FHIR | {"recorded": time})):
        assert event.occurred_at == NOW
        assert event.attributes["occurred_at_from"] == "receipt"
    assert read(FHIR | {"recorded": time}).attributes["unusable_times"] == [time]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-12-31T23:59:59.999999999Z", "2026-12-31T23:59:59.999999+00:00"),
        ("2026-01-01T00:00:00.0000009+02:00", "2026-01-01T00:00:00+02:00"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.999999+00:00"),
        ("2026-01-01T00:00:00.123456Z", "2026-01-01T00:00:00.123456+00:00"),
    ],
)
def test_a_time_is_cut_to_the_microsecond_in_every_format(text: str, expected: str) -> None:
    moment = datetime.fromisoformat(expected)
    assert read(NATIVE | {"occurred_at": text}).occurred_at == moment
    assert (
        read({"attributes": {"occurred_at": "2026-01-01"}} | NATIVE | {"occurred_at": text}).occurred_at
        == moment
    )
    assert read(CLOUDEVENT | {"time": text}).occurred_at == moment
    assert read(CLOUDEVENT | {"data": NATIVE | {"occurred_at": text}}).occurred_at == moment
    assert read(FHIR | {"recorded": text}).occurred_at == moment


@pytest.mark.parametrize(
    "before", ['"occurred_at"' + " " * 20 + ":", '"occurred_at":' + " " * 20, '"occurred\\u005fat":']
)
def test_a_time_is_cut_however_its_key_is_written(before: str) -> None:
    rest = json.dumps({name: value for name, value in NATIVE.items() if name != "occurred_at"})
    message = "{" + before + '"2025-12-31T23:59:59.9999999Z",' + rest[1:]
    event = decode(message.encode(), [], max_bytes=100_000).event
    assert event.occurred_at == datetime(2025, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    assert read_event(1, message.encode()) == event


@pytest.mark.parametrize(
    "other",
    [
        {
            "who": {"identifier": {"value": "org-1"}},
            "role": [{"coding": [{"code": "PROV"}]}],
            "requestor": False,
        },
        {"who": {"identifier": {"value": "org-1"}}, "type": {"coding": [{"code": "PROV"}]}},
        {"who": {"reference": "Organization/1", "identifier": {"value": "org-1"}}},
        {"who": {"type": "Organization", "identifier": {"value": "org-1"}}},
    ],
)
def test_an_agent_that_stands_for_another_says_for_whom(other: dict[str, Any]) -> None:
    event = read(FHIR | {"agent": [*FHIR["agent"], other]})
    assert event.actor.on_behalf_of in {"org-1", "Organization/1"}


def test_a_reference_to_a_part_of_the_resource_is_no_id() -> None:
    outcome = {"resourceType": "OperationOutcome", "id": "o1", "issue": [{"code": "exception"}]}
    for reference in ("#o1", "#absent"):
        event = read(FHIR | {"contained": [outcome], "entity": [{"what": {"reference": reference}}]})
        assert event.resources == ()
    agent = [{"who": {"reference": "#p"}, "requestor": True}]
    assert read(FHIR | {"agent": agent}).actor.id is None


@pytest.mark.parametrize(
    "reference",
    [
        "Patient/17", "Patient/17/", "Patient/17/$everything", "https://a.example/fhir/Patient/17/$everything?start=2024",
        "Patient/17/_history/2", "Patient/17?_format=json", "Patient/17/Observation?code=x", "Patient/17#name",
    ],
)  # fmt: skip
def test_a_patient_is_found_in_whatever_address_names_the_record(reference: str) -> None:
    role = {"code": "1", "system": "http://terminology.hl7.org/CodeSystem/object-role"}
    event = read(FHIR | {"entity": [{"what": {"reference": reference}, "role": role}]})
    assert [patient.id.rpartition("|")[2] for patient in event.patients] == ["17"]


def test_a_type_alone_is_kept_as_any_resource_of_that_type() -> None:
    event = read(FHIR | {"entity": [{"what": {"type": "Observation"}}]})
    assert [(resource.type, resource.id) for resource in event.resources] == [("Observation", "*")]


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ({"apiVersion": "audit.k8s.io/v1", "kind": "Event", "verb": "get"}, "Kubernetes"),
        ({"class_uid": 3002, "category_uid": 3, "metadata": {"version": "1.3.0"}}, "OCSF"),
        ({"@timestamp": "2024-05-01T10:00:00Z", "event": {"action": "login"}}, "Elastic"),
        ({"eventVersion": "1.08", "eventSource": "s3", "eventName": "GetObject"}, "CloudTrail"),
        ({"op": "c", "ts_ms": 1, "source": {"db": "x"}, "after": {}}, "Debezium"),
        ({"events": [NATIVE]}, "batch"),
    ],
)
def test_a_known_foreign_format_is_named(message: dict[str, Any], name: str) -> None:
    error = rejected(message)
    assert error.reason is Reason.UNKNOWN_FORMAT
    assert name in error.message


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (b"CEF:0|Vendor|Product|1|100|login|3|", "CEF"),
        (b"<134>May  1 10:00:00 host CEF:0|V|P|1|1|x|3|", "CEF"),
        (b"MSH|^~\\&|A|B", "HL7"),
        (b"<?xml version='1.0'?><AuditMessage/>", "XML"),
    ],
)
def test_a_known_text_format_is_named(text: bytes, name: str) -> None:
    with pytest.raises(RejectedError) as caught:
        decode(text, [], max_bytes=100_000)
    assert caught.value.reason is Reason.UNKNOWN_FORMAT
    assert name in caught.value.message


@pytest.mark.parametrize("header", ["ce_id", "content-type"])
def test_a_header_that_is_sent_twice_is_rejected(header: str) -> None:
    headers = [*binary(), ("content-type", b"application/json")]
    error = rejected({"a": 1}, [*headers, (header, b"2")])
    assert (error.reason, error.field) == (Reason.INVALID_FIELD, header)
