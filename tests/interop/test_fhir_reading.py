from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from domain.body import BodyFormat
from domain.errors import Reason, RejectedError
from domain.event import ActorKind, AuditEvent, Outcome
from interop.decoding import decode

NOW = datetime(2030, 1, 1, tzinfo=UTC)
DCM = "http://dicom.nema.org/resources/ontology/DCM"
OLD_DCM = "http://nema.org/dicom/dicm"
REST = {"system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest"}
INTERACTION = "http://hl7.org/fhir/restful-interaction"
PATIENT_ROLE = {"system": "http://terminology.hl7.org/CodeSystem/object-role", "code": "1"}


def resource(**elements: Any) -> dict[str, Any]:
    """A small R4 AuditEvent; an element given as None is left out."""
    base: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "type": REST,
        "subtype": [{"system": INTERACTION, "code": "read"}],
        "action": "R",
        "recorded": "2024-05-01T10:00:00Z",
        "outcome": "0",
        "agent": [{"who": {"reference": "Practitioner/17"}, "requestor": True}],
        "source": {"observer": {"display": "gateway"}},
    }
    return {name: value for name, value in (base | elements).items() if value is not None}


def read(**elements: Any) -> AuditEvent:
    message = json.dumps(resource(**elements)).encode()
    return decode(message, [], max_bytes=1_000_000, received_at=NOW).event


def rejected(**elements: Any) -> RejectedError:
    with pytest.raises(RejectedError) as caught:
        read(**elements)
    return caught.value


def dcm(type: str, subtype: str | None = None, system: str = DCM) -> dict[str, Any]:
    subtypes = [{"system": system, "code": subtype}] if subtype else None
    return {"type": {"system": system, "code": type}, "subtype": subtypes}


@pytest.mark.parametrize(
    ("elements", "type"),
    [
        (dcm("110114", "110122"), "user.logged_in"),
        (dcm("110114", "110122") | {"outcome": "4"}, "user.login_failed"),
        (dcm("110114") | {"outcome": "8"}, "user.login_failed"),
        (dcm("110114", "110123"), "user.logged_out"),
        (dcm("110114", "110122", OLD_DCM), "user.logged_in"),
        (dcm("110100", "110121", OLD_DCM), "service.stopped"),
        (dcm("110113", "110127"), "emergency_access.started"),
        (dcm("110113", "110138"), "emergency_access.ended"),
        (dcm("110113", "110128"), "configuration.changed"),
        (dcm("110113", "110137"), "role.changed"),
        (dcm("110113", "110132"), "privilege.used"),
        (dcm("110113", "110126") | {"outcome": "8"}, "node.authentication_failed"),
        (dcm("110113", "110133"), "audit_recording.stopped"),
        (dcm("110108", "110125"), "device.disconnected"),
        (dcm("110101"), "audit_log.read"),
        (dcm("110105") | {"action": "D"}, "record.deleted"),
        (dcm("110106"), "record.exported"),
        (dcm("110107"), "record.imported"),
        (dcm("110110") | {"action": "U"}, "record.updated"),
        (dcm("110103") | {"action": "R"}, "record.read"),
        (dcm("110110") | {"action": None}, "event.unclassified"),
        (dcm("110113"), "event.unclassified"),
        (dcm("110114", "110139"), "event.unclassified"),
        ({"subtype": [{"system": INTERACTION, "code": "search-system"}]}, "record.searched"),
        ({"subtype": [{"system": INTERACTION, "code": "patch"}], "action": "U"}, "record.updated"),
        ({"subtype": [{"system": INTERACTION, "code": "delete"}], "action": "D"}, "record.deleted"),
        ({"subtype": [{"system": INTERACTION, "code": "history-type"}]}, "api.called"),
        ({"subtype": [{"system": INTERACTION, "code": "levitate"}]}, "event.unclassified"),
        ({"subtype": [{"code": "READ"}]}, "record.read"),
        ({"subtype": None}, "record.read"),
        ({"subtype": [{"system": "urn:other", "code": "read"}]}, "event.unclassified"),
        (dcm("110106") | {"subtype": [{"code": "Disclosure"}]}, "record.disclosed"),
        (dcm("110106") | {"entity": [{"lifecycle": {"code": "11"}}]}, "record.disclosed"),
        (
            dcm("110114") | {"subtype": [{"system": "urn:ihe:event-type-code", "code": "ITI-71"}]},
            "session.started",
        ),
    ],
)
def test_codes_become_the_type_that_they_mean(elements: dict[str, Any], type: str) -> None:
    assert read(**elements).type == type


def test_a_consent_decision_is_a_denial_only_when_it_denies() -> None:
    consent = {"system": "https://profiles.ihe.net/ITI/BALP/CodeSystem/AuthZsubType", "code": "AuthZ-Consent"}
    elements = dcm("110113") | {"subtype": [consent]}
    assert read(**elements, outcome="8").type == "access.denied"
    assert read(**elements, outcome="0").type == "event.unclassified"


def test_a_failed_interaction_for_missing_rights_is_a_denial() -> None:
    contained = [{"resourceType": "OperationOutcome", "id": "o", "issue": [{"code": "forbidden"}]}]
    assert read(outcome="4", contained=contained).type == "access.denied"
    assert read(outcome="4").type == "record.read"


@pytest.mark.parametrize(
    ("given", "outcome"),
    [
        ("0", Outcome.SUCCESS),
        ("4", Outcome.MINOR_FAILURE),
        ("8", Outcome.SERIOUS_FAILURE),
        ("12", Outcome.MAJOR_FAILURE),
        (None, Outcome.SUCCESS),
        ("Z", Outcome.MINOR_FAILURE),
        ({"code": {"system": "http://hl7.org/fhir/issue-severity", "code": "fatal"}}, Outcome.MAJOR_FAILURE),
        (
            {"code": {"system": "http://hl7.org/fhir/issue-severity", "code": "warning"}},
            Outcome.MINOR_FAILURE,
        ),
        ({"code": {"code": "success"}}, Outcome.SUCCESS),
        ({"code": {"coding": [{"code": "8"}]}}, Outcome.SERIOUS_FAILURE),
    ],
)
def test_outcomes_of_both_code_systems_are_read(given: Any, outcome: Outcome) -> None:
    assert read(outcome=given).outcome is outcome


@pytest.mark.parametrize(
    ("reference", "id"),
    [
        ({"reference": "Patient/17"}, "17"),
        ({"reference": "Patient/17/_history/3"}, "17"),
        ({"reference": "https://ehr.example.org/fhir/Patient/17"}, "https://ehr.example.org/fhir|17"),
        (
            {"reference": "https://EHR.example.org/fhir/Patient/17/_history/3"},
            "https://ehr.example.org/fhir|17",
        ),
        ({"reference": "Patient?identifier=urn:mrn|MRN%2F9"}, "urn:mrn|MRN/9"),
        (
            {"reference": "urn:uuid:0B6A1F4E-95F7-4C1B-8F2C-0A3D5E6F7A8B", "type": "Patient"},
            "0b6a1f4e-95f7-4c1b-8f2c-0a3d5e6f7a8b",
        ),
        ({"reference": "#p1"}, "MRN-1"),
        ({"identifier": {"value": "8-44"}}, "8-44"),
        ({"display": "Ann Example"}, "Ann Example"),
    ],
)
def test_a_patient_is_found_however_the_reference_is_written(reference: dict[str, Any], id: str) -> None:
    contained = [{"resourceType": "Patient", "id": "p1", "identifier": [{"value": "MRN-1"}]}]
    event = read(entity=[{"what": reference, "role": PATIENT_ROLE}], contained=contained)
    assert [patient.id for patient in event.patients] == [id]


def test_a_patient_is_found_as_agent_entity_and_r5_subject_each_once() -> None:
    event = read(
        agent=[{"who": {"reference": "Patient/1"}, "requestor": True}],
        entity=[{"what": {"reference": "Patient/2"}}, {"what": {"reference": "Patient/1/_history/4"}}],
        patient={"reference": "Patient/3"},
    )
    assert [patient.id for patient in event.patients] == ["2", "1", "3"]
    assert (event.actor.kind, event.actor.id) == (ActorKind.PATIENT, "1")


def test_the_human_requestor_is_the_actor_wherever_he_stands() -> None:
    machine = {
        "type": {"coding": [{"system": DCM, "code": "110153"}]},
        "who": {"reference": "Device/gateway"},
        "requestor": True,
        "network": {"address": "10.0.0.9"},
    }
    human = {
        "type": {"coding": [{"code": "humanuser"}]},
        "who": {"reference": "https://ehr/fhir/Practitioner/17"},
        "name": "Dr. Example",
        "role": [{"coding": [{"code": "physician"}]}, {"text": "on call"}],
        "requestor": True,
    }
    for agents in ([machine, human], [human, machine]):
        event = read(agent=agents)
        assert (event.actor.kind, event.actor.id) == (ActorKind.USER, "https://ehr/fhir|Practitioner/17")
        assert event.actor.name == "Dr. Example"
        assert event.actor.roles == ("physician", "on call")
        assert event.device is not None
        assert event.device.id == "gateway"


def test_a_requestor_that_nothing_identifies_stays_unattributed() -> None:
    user = {"type": {"coding": [{"code": "UserOauthAgent"}]}, "requestor": True, "policy": ["token-tail"]}
    event = read(agent=[{"who": {"reference": "Device/server"}, "requestor": False}, user])
    assert event.actor.id is None
    assert event.attributes["policies"] == ["token-tail"]


def test_the_session_of_a_login_is_its_security_resource() -> None:
    entity = {"what": {"identifier": {"value": "s-1"}}, "type": {"code": "2"}, "role": {"code": "13"}}
    event = read(**dcm("110114", "110122"), entity=[entity])
    assert event.session == "s-1"
    assert event.resources == ()


def test_the_period_says_when_it_happened_before_the_time_of_recording() -> None:
    event = read(period={"start": "2024-05-01T09:00:00+02:00", "end": "2024-05-01T09:10:00+02:00"})
    assert event.occurred_at == datetime(2024, 5, 1, 7, tzinfo=UTC)
    assert event.attributes["recorded"] == "2024-05-01T10:00:00Z"
    assert event.attributes["occurred_until"] == "2024-05-01T09:10:00+02:00"


@pytest.mark.parametrize("naive", ["2024-05-01T10:00:00", "2024-05-01", "2024", None])
def test_without_a_usable_time_the_event_is_kept_with_the_time_of_receipt(naive: str | None) -> None:
    event = read(recorded=naive)
    assert event.occurred_at == NOW
    assert event.attributes["occurred_at_from"] == "receipt"
    assert event.attributes.get("times_without_offset") == ([naive] if naive else None)


@pytest.mark.parametrize(
    ("elements", "field"),
    [
        ({"recorded": "lunchtime"}, "recorded"),
        ({"recorded": 5}, "recorded"),
        ({"agent": "Practitioner/17"}, "agent"),
        ({"entity": {"what": {}}}, "entity"),
        ({"type": "rest"}, "type"),
        ({"outcome": 0}, "outcome"),
        ({"type": None, "subtype": None, "agent": None, "source": None}, "agent"),
    ],
)
def test_what_is_no_audit_event_is_rejected_with_its_field(elements: dict[str, Any], field: str) -> None:
    assert rejected(**elements).field == field


def test_another_resource_is_rejected_by_its_name() -> None:
    fault = rejected(resourceType="Bundle")
    assert (fault.reason, fault.field) == (Reason.UNKNOWN_FORMAT, "resourceType")
    assert "Bundle" in fault.message
    assert "quote" not in rejected(resourceType="no \n quote of 17").message


def test_a_uuid_is_the_event_id_and_any_other_id_is_replaced_by_one_of_the_content() -> None:
    uuid = "0b6a1f4e-95f7-4c1b-8f2c-0a3d5e6f7a8b"
    assert read(id=uuid).event_id == UUID(uuid)
    assert read(id="17").event_id == read(id="17").event_id
    assert read(id="17").event_id != read(id="17", action="C").event_id
    reordered = dict(reversed(resource(id="17").items()))
    message = json.dumps(reordered, indent=2).encode()
    assert decode(message, [], max_bytes=1_000_000).event.event_id == read(id="17").event_id


def test_a_long_identifier_is_shortened_the_same_way_each_time_and_stays_unique() -> None:
    ids = [
        read(agent=[{"who": {"identifier": {"value": "x" * 300 + end}}, "requestor": True}]).actor.id
        for end in "aab"
    ]
    assert ids[0] is not None
    assert len(ids[0]) == 256
    assert ids[0] == ids[1] != ids[2]


def test_the_spellings_of_stu3_are_understood() -> None:
    event = read(
        type={"system": "http://hl7.org/fhir/audit-event-type", "code": "rest"},
        agent=[{"userId": {"value": "95"}, "name": "Grahame", "requestor": True}],
        source={"identifier": {"value": "hl7connect"}},
        entity=[
            {"reference": {"reference": "Patient/1"}},
            {"identifier": {"value": "2"}, "role": PATIENT_ROLE},
        ],
    )
    assert (event.type, event.actor.id, event.source.service) == ("record.read", "95", "hl7connect")
    assert [patient.id for patient in event.patients] == ["1", "2"]


def test_a_device_brings_its_name_and_software_version() -> None:
    contained = [
        {
            "resourceType": "Device",
            "id": "d",
            "identifier": [{"value": "SN-9"}],
            "deviceName": [{"name": "Pump 9"}],
            "version": [{"value": "2.1"}],
        }
    ]
    device = read(entity=[{"what": {"reference": "#d"}}], contained=contained).device
    assert device is not None
    assert (device.id, device.name, device.software_version) == ("SN-9", "Pump 9", "2.1")


def test_r5_is_told_from_r4_by_its_shape() -> None:
    def told(**elements: Any) -> BodyFormat:
        return decode(json.dumps(resource(**elements)).encode(), [], max_bytes=1_000_000).format

    code = {"coding": [{"system": INTERACTION, "code": "read"}]}
    assert told() is BodyFormat.FHIR_R4
    assert told(type=None, subtype=None, code=code) is BodyFormat.FHIR_R5
    assert told(outcome={"code": {"code": "0"}}) is BodyFormat.FHIR_R5
