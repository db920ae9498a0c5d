"""The official examples of HL7 and IHE, and the table of what each says.

The table was read against the files, and compared with a second reading of their plain JSON that shares no code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from domain.body import Received, read_event, read_message
from domain.event import AuditEvent
from interop.decoding import decode

SAMPLES = Path(__file__).parents[2] / "audit_trail" / "samples"
EXPECTED: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("expected_events.json").read_text())


def read(name: str) -> Received:
    return decode((SAMPLES / name).read_bytes(), [], max_bytes=1_000_000)


def told(received: Received) -> dict[str, Any]:
    event = received.event
    row = {
        "format": received.format.name,
        "type": event.type,
        "action": event.action,
        "outcome": event.outcome,
        "occurred_at": event.occurred_at.isoformat(),
        "actor": [event.actor.kind, event.actor.id, event.actor.name],
        "patients": [patient.id for patient in event.patients],
        "device": event.device.id if event.device else None,
        "resources": ["/".join(filter(None, (item.type, item.id, item.version))) for item in event.resources],
        "purposes": list(event.purpose_of_use),
        "source": event.source.service,
        "client": event.client.address if event.client else None,
        "correlation_id": event.correlation_id,
        "recipient": event.disclosure.recipient if event.disclosure else None,
    }
    return {name: value for name, value in row.items() if value not in (None, [])}


def test_every_sample_is_in_the_table() -> None:
    assert {f"{path.parent.name}/{path.name}" for path in SAMPLES.glob("*/*.json")} == EXPECTED.keys()
    assert len(EXPECTED) == 76


@pytest.mark.parametrize("name", EXPECTED)
def test_a_sample_becomes_the_event_that_it_states(name: str) -> None:
    assert told(read(name)) == EXPECTED[name]


@pytest.mark.parametrize("name", EXPECTED)
def test_the_stored_body_gives_back_the_event_and_the_resource_byte_for_byte(name: str) -> None:
    received = read(name)
    assert read_event(received.format, received.body) == received.event
    assert read_message(received.format, received.body) == ([], (SAMPLES / name).read_bytes())


def test_the_same_resource_has_the_same_id_and_no_two_samples_share_one() -> None:
    ids = [read(name).event.event_id for name in EXPECTED]
    assert ids == [read(name).event.event_id for name in EXPECTED]
    assert len(set(ids)) == len(ids)


def events(suffix: str) -> list[AuditEvent]:
    return [read(name).event for name in EXPECTED if name.endswith(suffix)]


def test_the_purpose_given_for_the_recipient_alone_reaches_the_event() -> None:
    resource = json.loads((SAMPLES / "hl7-r4/auditevent-example-disclosure.json").read_text())
    del resource["purposeOfEvent"]
    event = decode(json.dumps(resource).encode(), [], max_bytes=1_000_000).event
    assert event.purpose_of_use == ("HMARKT",)
    assert event.disclosure is not None
    assert (event.disclosure.recipient, event.disclosure.recipient_address) == ("Where", "marketing.land")
    assert event.disclosure.purpose == "HMARKT"


def test_a_version_specific_reference_is_indexed_without_its_version() -> None:
    for event in events("audit-event-example-vread.json"):
        assert [patient.id for patient in event.patients] == ["example"]
        assert [(item.type, item.id, item.version) for item in event.resources] == [
            ("Patient", "example", "1")
        ]


def test_break_glass_is_an_emergency() -> None:
    assert [event.emergency for event in events("breakglass-start.json")] == [True]
    assert not any(event.emergency for event in events("vread.json"))


def test_the_codes_of_every_sample_are_kept() -> None:
    for name in EXPECTED:
        resource = json.loads((SAMPLES / name).read_text())
        given = [resource.get("type"), *resource.get("subtype", [])]
        given += resource.get("code", {}).get("coding", [])
        given += [coding for concept in resource.get("category", []) for coding in concept["coding"]]
        kept = {(coding.system, coding.code) for coding in read(name).event.codes}
        assert {(coding.get("system"), coding["code"]) for coding in given if coding} == kept, name


def test_an_outcome_keeps_its_reason() -> None:
    for event in events("AuthZconsent-deny.json"):
        assert event.outcome_reason == "Consent denied access to this user"
        assert event.actor.on_behalf_of == "Organization/ex-organization"
