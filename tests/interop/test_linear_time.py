"""Other people's formats are read, or refused, in time and memory that grow with the message and no faster."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from domain.errors import Reason, RejectedError
from interop import truncation
from interop.cloudevents_envelope import MAX_ATTRIBUTES
from interop.decoding import decode
from interop.fhir.elements import MAX_CONTAINERS, MAX_ELEMENTS, Target, parse_reference
from interop.monitoring import eventrouter
from interop.monitoring.kubernetes import read_events
from tests.scaling import Hostile, assert_linear, peak_megabytes

SOURCE = {"source": {"observer": {"display": "x"}}}
R4 = {"resourceType": "AuditEvent", "type": {"code": "110110"}, "recorded": "2026-01-01T00:00:00Z", **SOURCE}
R5 = {
    "resourceType": "AuditEvent",
    "code": {"coding": [{"code": "110110"}]},
    "category": [{"text": "x"}],
    **SOURCE,
}
CLOUDEVENT = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
NATIVE = {
    "event_id": "6f9619ff-8b86-4d01-b42d-00cf4fc964ff",
    "type": "record.read",
    "occurred_at": "2026-01-01T00:00:00Z",
    "source": {"service": "s"},
    "actor": {"id": "a"},
    "resources": [{"type": "P", "id": "1"}],
}  # fmt: skip
BINARY = [(f"ce_{name}", value.encode()) for name, value in CLOUDEVENT.items()]
CLOUDEVENTS_TYPE = b"application/cloudevents"
HUGE = 1 << 30

Make = Callable[[int], dict[str, Any]]


def message(given: Any) -> object:
    """Decode `given`: JSON, or a value and its headers."""
    value, headers = given
    return decode(value, headers, max_bytes=HUGE)


def written(begin: dict[str, Any], make: Make) -> Callable[[int], tuple[bytes, list[tuple[str, bytes]]]]:
    return lambda size: (json.dumps(begin | make(size)).encode(), [])


def long_names(size: int) -> dict[str, Any]:
    inner = {"resourceType": "x" * size, "name": [{"given": ["ab"] * (size // 6)}]}
    return {"contained": [inner | {"id": "c"}], "agent": [{"who": "#c"}] * (size // 16)}


def long_identifier(size: int) -> dict[str, Any]:
    kind = {"text": "y" * size, "coding": [{"code": "a"}] * (size // 64)}
    inner = {"identifier": [{"value": "x" * size, "type": kind}], "id": "c"}
    return {"contained": [inner], "entity": [{"what": {"reference": "#c"}}] * (size // 16)}


def long_observer(size: int) -> dict[str, Any]:
    observer = {"observer": {"reference": "Device/" + "x" * size}}
    return {"source": observer, "agent": [{"who": {"reference": "Device/1"}}] * (size // 64)}


def query(text: str) -> dict[str, Any]:
    return {"entity": [{"query": base64.b64encode(text.encode()).decode()}]}


def reference(text: str) -> dict[str, Any]:
    return {"entity": [{"what": {"reference": text}}], "agent": [{"who": {"reference": text}}]}


RESOURCES: Sequence[tuple[str, Make]] = [
    ("agents", lambda size: {"agent": [{"who": {"reference": f"Patient/{n}"}} for n in range(size // 40)]}),
    ("agents of nothing", lambda size: {"agent": [{"a": 0}] * (size // 8)}),
    ("devices that act, and one that reports", long_observer),
    ("entities", lambda size: {"entity": [{"what": {"reference": f"Patient/{n}"}} for n in range(size // 40)]}),
    ("entities of one type", lambda size: {"entity": [{"type": {"code": "13"}, "name": "x"}] * (size // 40)}),
    ("contained resources", lambda size: {"contained": [{"id": str(n)} for n in range(size // 16)]}),
    ("references to long names", long_names),
    ("references to a long identifier", long_identifier),
    ("subtypes", lambda size: {"subtype": [{"code": str(n)} for n in range(size // 16)]}),
    ("codings of a subtype", lambda size: {"subtype": [{"coding": [{"code": "a"}] * (size // 16)}]}),
    ("codings of an agent", lambda size: {"agent": [{"type": {"coding": [{"code": "a"}] * (size // 16)}}]}),
    ("policies", lambda size: {"agent": [{"policy": ["a"] * (size // 4)}]}),
    ("purposes", lambda size: {"agent": [{"purposeOfUse": [{"text": str(n)} for n in range(size // 16)]}]}),
    ("labels", lambda size: {"entity": [{"securityLabel": [{"code": str(n)} for n in range(size // 16)]}]}),
    ("details of the outcome", lambda size: {"outcome": {"detail": [{"text": "a"}] * (size // 16)}}),
    ("keys", lambda size: {f"k{n}": 0 for n in range(size // 8)}),
    ("small objects", lambda size: {"x": [{}] * (size // 3)}),
    ("a profile of everything", lambda size: {"meta": {"profile": [["a"]] * (size // 8)}}),
    ("a long fraction of a second", lambda size: {"recorded": "2026-01-01T00:00:00." + "1" * size}),
    ("a request of spaces", lambda size: query("GET" + " " * size + "x")),
    ("a request of slashes", lambda size: query("/" * size + " ")),
    ("a request of letters", lambda size: query("A" * size)),
    ("a reference of letters", lambda size: reference("a" * size)),
    ("a reference of slashes", lambda size: reference("a://" + "/" * size)),
    ("a reference of types", lambda size: reference("a://b/" + "A/" * (size // 2) + "|")),
    ("a reference of versions", lambda size: reference("a://b/" + "A/b/_history/c/" * (size // 15) + "|")),
    ("a search of one parameter, over a line", lambda size: reference("Patient?_id=" + "a" * size + "#\n#x")),
    ("a search of parameters, over a line", lambda size: reference("Patient?_id=1" + "&_id=a" * (size // 6) + "#\n#x")),
    ("a search of parameters without a value", lambda size: reference("Patient?" + "&identifier=" * (size // 12))),
    ("a search that is escaped", lambda size: reference("Patient?_id=" + "%41%" * (size // 4))),
    ("half characters", lambda size: reference("Patient/" + "\ud83d" * (size // 6))),
]  # fmt: skip
CLOUDEVENTS: Sequence[tuple[str, Make]] = [
    ("attributes", lambda size: {f"a{n}": 0 for n in range(size // 8)}),
    ("data of objects", lambda size: {"data": [{}] * (size // 3)}),
    ("a native event", lambda size: {"data": NATIVE | {"patients": [{"id": str(n)} for n in range(size // 16)]}}),
    ("an AuditEvent", lambda size: {"data": R4 | {"entity": [{"what": {"reference": "A/1"}}] * (size // 40)}}),
    ("text that is an event", lambda size: {"data": json.dumps(NATIVE | {"codes": [{}] * (size // 4)})}),
    ("text that is no JSON", lambda size: {"data": "{" + '"\\"' * (size // 3)}),
    ("Base64", lambda size: {"data_base64": base64.b64encode(b'{"' + b'\\"' * (size // 2)).decode()}),
    ("no Base64", lambda size: {"data_base64": "=" * size}),
    ("a time", lambda size: {"time": "2026-01-01T00:00:00." + "1" * size + "x"}),
    ("a media type", lambda size: {"datacontenttype": "a/a" + " " * size + "x"}),
    ("a media type of letters", lambda size: {"datacontenttype": "a/" + "a" * size + "\n"}),
    ("a subject", lambda size: {"subject": "a://" + "A/" * (size // 2) + "|"}),
    ("a trace", lambda size: {"traceparent": f"00-{'a' * 32}-{'a' * 16}-00" + "a" * size + "\n"}),
    ("a long source", lambda size: {"source": "a" * size, "id": "b" * size}),
]  # fmt: skip
KUBERNETES: Sequence[tuple[str, Callable[[int], str]]] = [
    ("a pod of generated parts", lambda size: "a" + "-bcdfg" * (size // 6)),
    ("a pod of letters", lambda size: "b" * size),
    ("a pod of a set", lambda size: "a" + "-1" * (size // 2) + "-"),
]


def events_of(make: Callable[[int], str]) -> Callable[[int], dict[str, Any]]:
    about = {"reason": "Unhealthy", "lastTimestamp": "2026-01-01T00:00:00Z", "metadata": {"uid": "u"}}
    return lambda size: about | {"involvedObject": {"kind": "Pod", "name": make(size)}}


def monitored(event: Any) -> object:
    return read_events(event, "kubernetes", datetime(2026, 1, 1, tzinfo=UTC))


CASES = [
    *(Hostile(f"R4: {name}", message, written(R4, make)) for name, make in RESOURCES),
    *(Hostile(f"R5: {name}", message, written(R5, make)) for name, make in RESOURCES),
    *(Hostile(f"CloudEvent: {name}", message, written(CLOUDEVENT, make)) for name, make in CLOUDEVENTS),
    *(Hostile(f"Kubernetes: {name}", monitored, events_of(make)) for name, make in KUBERNETES),
    Hostile("messages of eventrouter", eventrouter.unframed, lambda size: b"10 <30>1 {}  \n" * (size // 15)),
    Hostile("spaces after a message", eventrouter.unframed, lambda size: b"10 <30>1 {}  " + b" " * size + b"x"),
    Hostile("headers", message, lambda size: (b"", BINARY + [(f"ce_a{n}", b"x") for n in range(size // 8)])),
    Hostile("headers of one name", message, lambda size: (b"", BINARY + [("ce_a", b"x")] * (size // 8))),
    Hostile("headers of another kind", message, lambda size: (b"", [("x", b"y")] * (size // 8))),
    Hostile("a content type", message, lambda size: (b"{}", [("content-type", CLOUDEVENTS_TYPE + b" " * size + b"x")])),
    Hostile("a type that no resource has", message, lambda size: (b'{"resourceType":"' + b"A" * size + b'"}', [])),
    Hostile("spaces as data", message, lambda size: (b" " * size, BINARY)),
    Hostile("an identifier of spaces", truncation.identifier, lambda size: " " * size + "x" + " " * size),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_reading_takes_time_in_proportion_to_the_message(case: Hostile) -> None:
    assert_linear(case, RejectedError)


@pytest.mark.parametrize("case", [case for case in CASES if case.name.startswith(("R4", "Cl"))], ids=str)
def test_a_message_of_a_mebibyte_needs_some_tens_of_megabytes(case: Hostile) -> None:
    value, headers = case.make(500_000)
    assert peak_megabytes(case.work, (value[: 1 << 20], headers), RejectedError) < 64


@pytest.mark.parametrize(
    "name", ["agent", "entity", "contained", "subtype", "category", "purposeOfEvent", "authorization"]
)
def test_a_list_of_an_audit_event_has_a_limit(name: str) -> None:
    def with_items(number: int) -> bytes:
        return json.dumps(R4 | {name: [{"id": str(n), "code": "a"} for n in range(number)]}).encode()

    decode(with_items(MAX_ELEMENTS - 1), [], max_bytes=HUGE)
    refused = rejected(with_items(MAX_ELEMENTS + 1))
    assert (refused.reason, refused.field) == (Reason.OVERSIZED, name)


def test_an_audit_event_as_a_whole_has_a_limit_also_within_a_cloudevent() -> None:
    large: dict[str, Any] = R4 | {"extension": [{}] * (MAX_CONTAINERS + 1)}
    assert rejected(json.dumps(large).encode()).reason is Reason.OVERSIZED
    inner = rejected(json.dumps(CLOUDEVENT | {"data": large}).encode())
    assert (inner.reason, inner.field) == (Reason.OVERSIZED, "data")


def test_a_cloudevent_has_a_limit_of_attributes_in_both_modes() -> None:
    given = {f"a{n}": "x" for n in range(MAX_ATTRIBUTES - len(CLOUDEVENT))}
    headers = [(f"ce_{name}", value.encode()) for name, value in (CLOUDEVENT | given).items()]
    for value, attributes in ((json.dumps(CLOUDEVENT | given).encode(), []), (b"", headers)):
        event = decode(value, attributes, max_bytes=HUGE).event
        assert len(event.attributes) == MAX_ATTRIBUTES  # without the version, and with where the time is from
    assert rejected(json.dumps(CLOUDEVENT | given | {"b": "x"}).encode()).reason is Reason.OVERSIZED
    assert rejected(b"", [*headers, ("ce_b", b"x")]).reason is Reason.OVERSIZED


def test_what_is_long_in_a_contained_resource_is_shortened_as_it_is_elsewhere() -> None:
    inner = {
        "id": "c",
        "resourceType": "Patient",
        "identifier": [{"value": "x" * 300}],
        "name": [{"text": "y" * 2000}],
    }
    by_inner = decode(
        json.dumps(R4 | {"contained": [inner], "entity": [{"what": {"reference": "#c"}}]}).encode(),
        [],
        max_bytes=HUGE,
    )
    given = {"type": "Patient", "identifier": {"value": "x" * 300}, "display": "y" * 2000}
    by_itself = decode(json.dumps(R4 | {"entity": [{"what": given}]}).encode(), [], max_bytes=HUGE)
    assert by_inner.event.patients == by_itself.event.patients
    assert by_inner.event.resources == by_itself.event.resources


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        ("Patient?identifier=urn:x|1", Target("Patient", identifier="1", identifier_system="urn:x")),
        ("Patient?a=b&_id=2&c=d#e", Target("Patient", identifier="2")),
        ("Patient?_id=1&_id=2&_id=", Target("Patient", identifier="2")),
        ("Patient?_id=a=b", Target("Patient", identifier="a=b")),
        ("Patient?identifier=x|%31", Target("Patient", identifier="1", identifier_system="x")),
        ("Patient?identifier=x|", Target("Patient")),
        ("Patient?_id=1\n2", Target("Patient", identifier="1\n2")),
        ("Patient?_id=1&x\ny", Target(id="Patient?_id=1&x\ny")),
        ("Patient?_id=1#\n", Target(id="Patient?_id=1#\n")),
        ("Patient?x&_id=1\n&_id=", Target("Patient", identifier="1\n")),
        ("Patient?#_id=1", Target(id="Patient?#_id=1")),
        ("Patient?id=1", Target(id="Patient?id=1")),
        ("patient?_id=1", Target(id="patient?_id=1")),
    ],
)
def test_a_conditional_reference_names_what_it_looks_for(reference: str, target: Target) -> None:
    assert parse_reference(reference) == target


def rejected(value: bytes, headers: Sequence[tuple[str, bytes]] = ()) -> RejectedError:
    with pytest.raises(RejectedError) as caught:
        decode(value, headers, max_bytes=HUGE)
    return caught.value
