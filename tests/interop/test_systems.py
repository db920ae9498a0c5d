"""Ids of several systems: never one patient out of two, and one out of one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from domain.event import AuditEvent
from interop.decoding import decode
from interop.systems import OWN, Systems

A, B = "https://a.example/fhir", "https://b.example/fhir"
ROLE = {"code": "1", "system": "http://terminology.hl7.org/CodeSystem/object-role"}
NAMED = Systems([(A, ""), ("urn:oid:1.2.3", ""), (B, "lab"), ("http://lab.example/mrn", "lab")])


def read(what: dict[str, Any], systems: Systems = OWN) -> AuditEvent:
    resource = {
        "resourceType": "AuditEvent",
        "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest"},
        "action": "R",
        "recorded": "2026-05-01T08:00:00Z",
        "agent": [{"who": {"reference": f"{B}/Practitioner/5"}, "requestor": True}],
        "source": {"observer": {"display": "ward"}},
        "entity": [{"what": what, "role": ROLE}],
    }
    return decode(json.dumps(resource).encode(), [], max_bytes=100_000, systems=systems).event


def patient(what: dict[str, Any], systems: Systems = OWN) -> str:
    event = read(what, systems)
    [found] = event.patients
    assert [resource.id for resource in event.resources] == [found.id]
    return found.id


def test_one_id_of_two_servers_is_two_patients() -> None:
    assert patient({"reference": f"{A}/Patient/17"}) == f"{A}|17"
    assert patient({"reference": f"{B}/Patient/17"}) == f"{B}|17"
    assert patient({"reference": "Patient/17"}) == "17"
    assert patient({"identifier": {"system": "urn:oid:1.2.3", "value": "17"}}) == "urn:oid:1.2.3|17"
    assert patient({"identifier": {"value": "17"}, "type": "Patient"}) == "17"


@pytest.mark.parametrize(
    ("what", "id"),
    [
        ({"reference": f"{A}/Patient/17"}, "17"),
        ({"reference": "HTTPS://A.Example/fhir/Patient/17/_history/3"}, "17"),
        ({"identifier": {"system": "URN:OID:1.2.3", "value": "17"}}, "17"),
        ({"reference": f"{B}/Patient/17"}, "lab|17"),
        ({"identifier": {"system": "http://lab.example/mrn/", "value": "17"}}, "lab|17"),
        ({"reference": "Patient?identifier=http://lab.example/mrn|17"}, "lab|17"),
        ({"reference": "https://c.example/Patient/17"}, "https://c.example|17"),
    ],
)
def test_settings_say_which_systems_are_the_same(what: dict[str, Any], id: str) -> None:
    assert patient(what, NAMED) == id


def test_people_and_devices_of_two_servers_are_not_mixed_either() -> None:
    assert read({"reference": "Patient/1"}).actor.id == f"{B}|Practitioner/5"
    assert read({"reference": "Patient/1"}, NAMED).actor.id == "lab|Practitioner/5"


def test_the_subject_of_a_cloudevent_has_its_system_too() -> None:
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "subject": f"{B}/Patient/17"}
    found = decode(json.dumps(event).encode(), [], max_bytes=1000, systems=NAMED).event
    assert [each.id for each in found.patients] == ["lab|17"]


def test_an_id_that_is_too_long_with_its_system_stays_unique() -> None:
    long = f"https://{'h' * 200}.example/fhir"
    one, other = (patient({"reference": f"{long}/Patient/{'7' * 60}{end}"}) for end in "12")
    assert one != other
    assert len(one) == 256


@pytest.mark.parametrize("names", [{"": "x"}, {A: "a b"}, {A: "a|b"}, {A: "x" * 41}])
def test_a_wrong_name_is_refused(names: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="system"):
        Systems(names.items())
