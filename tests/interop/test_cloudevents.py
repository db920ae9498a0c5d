"""CloudEvents: the project's own conformance cases, in both modes, and what becomes of the data."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from domain.body import BodyFormat, read_event, read_message
from domain.errors import Reason, RejectedError
from domain.event import ActorKind, AuditEvent
from interop.decoding import decode

SAMPLES = Path(__file__).parents[1] / "samples" / "cloudevents"
FHIR = Path(__file__).parents[2] / "audit_trail" / "samples"
NOW = datetime(2030, 1, 1, tzinfo=UTC)
STRUCTURED = [("content-type", b"application/cloudevents+json; charset=UTF-8")]
MINIMAL = {"specversion": "1.0", "id": "1", "source": "/clinic", "type": "com.example.thing"}
NATIVE = {
    "event_id": "0b6a1f4e-95f7-4c1b-8f2c-0a3d5e6f7a8b",
    "type": "user.logged_in",
    "occurred_at": "2024-05-01T10:00:00Z",
    "source": {"service": "auth"},
    "actor": {"id": "u-1"},
}


def cases(name: str) -> dict[str, dict[str, Any]]:
    return {case["id"]: case["event"] for case in json.loads((SAMPLES / name).read_text())["tests"]}


VALID, INVALID = cases("valid-events.json"), cases("invalid-events.json")


def structured(payload: Any, headers: list[tuple[str, bytes]] = STRUCTURED) -> AuditEvent:
    message = json.dumps(payload).encode()
    return decode(message, headers, max_bytes=100_000, received_at=NOW).event


def binary(attributes: dict[str, Any], value: bytes = b"", content_type: str | None = None) -> AuditEvent:
    headers = [(f"ce_{name}", spelt(attribute)) for name, attribute in attributes.items()]
    if content_type is not None:
        headers.append(("Content-Type", content_type.encode()))
    return decode(value, headers, max_bytes=100_000, received_at=NOW).event


def spelt(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


def test_all_the_conformance_cases_are_here() -> None:
    assert (len(VALID), len(INVALID)) == (10, 25)


@pytest.mark.parametrize("case", VALID)
def test_a_valid_event_is_accepted_in_structured_mode(case: str) -> None:
    event = structured(VALID[case])
    given = {name: value for name, value in VALID[case].items() if value is not None}
    assert event.type == "event.unclassified"
    assert event.source.service == given["source"]
    assert [(coding.system, coding.code) for coding in event.codes] == [(given["source"], given["type"])]
    receipt = {} if "time" in given else {"occurred_at_from": "receipt"}
    assert event.attributes == {k: v for k, v in given.items() if k not in {"specversion", "data"}} | receipt


@pytest.mark.parametrize("case", VALID)
def test_a_valid_event_is_accepted_in_binary_mode(case: str) -> None:
    given = {name: value for name, value in VALID[case].items() if value is not None}
    data, content_type = given.pop("data", ""), given.pop("datacontenttype", None)
    event = binary(given, spelt(data), content_type)
    assert event.event_id == structured(VALID[case]).event_id
    assert event.occurred_at == structured(VALID[case]).occurred_at


@pytest.mark.parametrize("case", INVALID)
def test_an_invalid_event_is_rejected_in_structured_mode(case: str) -> None:
    with pytest.raises(RejectedError) as caught:
        structured(INVALID[case])
    assert caught.value.field


# A header is always text, so that what is wrong in these only by its JSON type can't be said in headers, and an empty
# value or both kinds of data have no spelling of their own either.
NOT_IN_HEADERS = {
    "invalidNumericId",
    "invalidObjectId",
    "invalidNonIntegerExtensionValue",
    "invalidBothDataAndDataBase64",
    "invalidNonRfc2046DataContentType",
    "invalidEmptyDataContentType",
}


@pytest.mark.parametrize("case", sorted(INVALID.keys() - NOT_IN_HEADERS))
def test_an_invalid_event_is_rejected_in_binary_mode(case: str) -> None:
    with pytest.raises(RejectedError):
        binary(INVALID[case])


def test_a_content_type_that_is_none_is_rejected_in_binary_mode() -> None:
    with pytest.raises(RejectedError) as caught:
        binary(MINIMAL, b"", "xyz")
    assert caught.value.field == "datacontenttype"


def test_the_scenarios_of_the_kafka_binding_give_one_and_the_same_event() -> None:
    scenarios = json.loads((SAMPLES / "kafka-protocol-binding.scenarios.json").read_text())
    headers = [(name, value.encode()) for name, value in scenarios["binary"]["headers"].items()]
    events = [decode(scenarios["binary"]["value"].encode(), headers, max_bytes=100_000).event]
    for variant in scenarios["structured"]["headersVariants"]:
        for spelling in (str.lower, str.upper):
            named = [("content-type", spelling(variant["content-type"]).encode())]
            events.append(structured(scenarios["structured"]["value"], named))
    expected = {k: v for k, v in scenarios["expectedAttributes"].items() if k != "specversion"}
    assert all(event.attributes == expected for event in events)
    assert len({event.event_id for event in events}) == 1
    assert events[0].occurred_at == datetime(2018, 4, 5, 3, 56, 24, tzinfo=UTC)


def test_a_file_that_is_published_without_headers_is_read_as_structured() -> None:
    assert structured(MINIMAL, []).attributes["id"] == "1"
    with pytest.raises(RejectedError) as caught:
        structured(MINIMAL | {"time": "lunchtime"}, [])
    assert caught.value.field == "time"


@pytest.mark.parametrize("kind", ["application/cloudevents-batch+json", "application/cloudevents+avro"])
def test_batches_and_other_encodings_are_an_unknown_format(kind: str) -> None:
    with pytest.raises(RejectedError) as caught:
        structured([MINIMAL], [("content-type", kind.encode())])
    assert (caught.value.reason, caught.value.field) == (Reason.UNKNOWN_FORMAT, "content-type")


def test_source_and_id_together_identify_an_event_unless_the_id_is_a_uuid() -> None:
    assert structured(MINIMAL).event_id == binary(MINIMAL).event_id
    assert structured(MINIMAL).event_id != structured(MINIMAL | {"source": "/other"}).event_id
    assert (
        structured(MINIMAL | {"source": "/clinic1", "id": "1"}).event_id
        != structured(MINIMAL | {"source": "/clinic", "id": "11"}).event_id
    )
    uuid = "0b6a1f4e-95f7-4c1b-8f2c-0a3d5e6f7a8b"
    assert structured(MINIMAL | {"id": uuid}).event_id == UUID(uuid)
    nil = structured(MINIMAL | {"id": str(UUID(int=0))}).event_id
    assert nil != structured(MINIMAL | {"id": str(UUID(int=0)), "source": "/other"}).event_id


def test_without_a_time_the_time_of_receipt_stands_in() -> None:
    assert structured(MINIMAL).occurred_at == NOW


def test_what_the_extensions_say_of_actor_subject_and_trace_is_used() -> None:
    event = structured(
        MINIMAL
        | {
            "subject": "Patient/17",
            "authtype": "user",
            "authid": "u-9",
            "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        }
    )
    assert [patient.id for patient in event.patients] == ["17"]
    assert [(item.type, item.id) for item in event.resources] == [("Patient", "17")]
    assert (event.actor.kind, event.actor.id) == (ActorKind.USER, "u-9")
    assert event.correlation_id == "4bf92f3577b34da6a3ce929d0e0e4736"
    plain = structured(MINIMAL | {"subject": "invoice 4"})
    assert [(item.type, item.id) for item in plain.resources] == [("subject", "invoice 4")]
    assert (plain.actor.kind, plain.actor.id) == (ActorKind.UNKNOWN, None)


def carriers(data: Any) -> list[AuditEvent]:
    raw = json.dumps(data).encode()
    return [
        structured(MINIMAL | {"data": data}),
        structured(MINIMAL | {"data": raw.decode()}),
        structured(MINIMAL | {"data_base64": base64.b64encode(raw).decode()}),
        binary(MINIMAL, raw, "application/json"),
        binary(MINIMAL, raw),
    ]


def test_a_native_event_as_data_is_that_event_with_its_own_id() -> None:
    for event in carriers(NATIVE):
        assert (str(event.event_id), event.type, event.actor.id) == (
            NATIVE["event_id"],
            "user.logged_in",
            "u-1",
        )


def test_a_fhir_event_as_data_is_that_event() -> None:
    raw = (FHIR / "hl7-r5" / "auditevent-example-breakglass-start.json").read_bytes()
    alone = decode(raw, [], max_bytes=100_000).event
    assert all(event == alone for event in carriers(json.loads(raw)))


def test_a_fault_in_a_native_event_is_named_within_the_data() -> None:
    for fault, field in (
        ({"actor": {}}, "data.actor.id"),
        ({"occurred_at": "2024-05-01"}, "data.occurred_at"),
    ):
        with pytest.raises(RejectedError) as caught:
            structured(MINIMAL | {"data": NATIVE | fault})
        assert caught.value.field == field
    with pytest.raises(RejectedError) as caught:
        structured(MINIMAL | {"data": {k: v for k, v in NATIVE.items() if k != "actor"}})
    assert caught.value.field == "data.actor"


@pytest.mark.parametrize("data", [b"\xff\xfe", b"plain", b"[1]", b"{not json"])
def test_data_of_any_other_kind_is_kept_with_the_message(data: bytes) -> None:
    headers = [(f"ce_{name}", value.encode()) for name, value in MINIMAL.items()]
    received = decode(data, headers, max_bytes=100_000)
    assert received.event.type == "event.unclassified"
    assert received.format is BodyFormat.CLOUDEVENTS
    assert read_event(received.format, received.body) == received.event
    assert read_message(received.format, received.body) == (headers, data)


def test_a_header_that_is_no_utf8_is_named() -> None:
    headers = [("ce_specversion", b"1.0"), ("ce_id", b"\xff"), ("ce_source", b"/"), ("ce_type", b"t")]
    with pytest.raises(RejectedError) as caught:
        decode(b"", headers, max_bytes=100)
    assert (caught.value.reason, caught.value.field) == (Reason.INVALID_ENCODING, "ce_id")


def test_an_integer_of_json_may_be_written_with_a_point() -> None:
    assert structured(MINIMAL | {"count": 3.0}).attributes["count"] == 3
    for number in (3.5, 2.0**31, 1e300, 10**400, float("nan"), float("inf")):
        with pytest.raises(RejectedError):
            structured(MINIMAL | {"count": number})
