"""A DICOM audit message keeps to the schema of PS3.15 A.5, to the rules of its messages, and to a bounded size."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given, settings
from lxml import etree

from domain.catalogue import CATALOGUE, DCM
from domain.event import RecordedEvent
from interop import dicom
from interop.leaf import LeafFacts
from tests.interop.outgoing_events import EVERY_TYPE, FULL, HOSTILE, LEAF, LEAST, LEAVES, huge, recorded

SCHEMA = etree.XMLSchema(
    etree.parse(Path(__file__).parents[1] / "samples" / "dicom" / "dicom2017c.xsd", etree.XMLParser())
)
STRICT = etree.XMLParser(resolve_entities=False, no_network=True, dtd_validation=False, load_dtd=False)
OBJECT = "ParticipantObjectIdentification"


def read(message: bytes) -> etree._Element:
    """The message, once it is checked against the schema, and against what the schema of IHE is laxer in.

    The schema that DICOM itself publishes, in RELAX NG, has no purpose of use, and needs an id and a name or a query of
    every object.
    """
    root = etree.fromstring(message, STRICT)
    assert root.getroottree().docinfo.doctype == ""
    SCHEMA.assertValid(root)
    assert root.find("EventIdentification/PurposeOfUse") is None
    for object in root.findall(OBJECT):
        assert object.get("ParticipantObjectID")
        assert (object.find("ParticipantObjectName") is None) != (
            object.find("ParticipantObjectQuery") is None
        )
    return root


def details(object: etree._Element) -> dict[str, str]:
    return {
        found.get("type", ""): base64.b64decode(found.get("value", "")).decode()
        for found in object.findall("ParticipantObjectDetail")
    }


def record_of(root: etree._Element) -> dict[str, str]:
    return details(root.findall(OBJECT)[0])


@settings(max_examples=60)
@given(HOSTILE, LEAVES)
def test_hostile_text_breaks_no_message(event: RecordedEvent, leaf: LeafFacts) -> None:
    message = dicom.message(event, leaf)
    assert len(message) <= dicom.MAX_BYTES
    assert b"<!" not in message
    record = record_of(read(message))
    assert record["position"] == str(leaf.position)
    assert record["leafHash"] == leaf.leaf_hash.hex()
    if event.event.reason:
        assert record["reason"] == event.event.reason


@pytest.mark.parametrize("event", EVERY_TYPE, ids=lambda event: event.event.type)
def test_every_type_has_the_codes_and_the_action_of_the_catalogue(event: RecordedEvent) -> None:
    root = read(dicom.message(event, LEAF))
    row = CATALOGUE[event.event.type]
    system, code = row.type_code
    event_id = root.find("EventIdentification/EventID")
    assert event_id is not None
    assert (event_id.get("csd-code"), event_id.get("codeSystemName")) == (
        code,
        "DCM" if system == DCM else system,
    )
    types = [found.get("csd-code") for found in root.findall("EventIdentification/EventTypeCode")]
    assert types[:1] == ([row.subtype_code[1]] if row.subtype_code else types[:1])
    action = root.find("EventIdentification")
    assert action is not None
    assert action.get("EventActionCode") == row.action.value
    requestors = [found.get("UserIsRequestor") for found in root.findall("ActiveParticipant")]
    assert requestors.count("true") == 1


def test_an_event_with_every_field_is_told_in_full() -> None:
    root = read(dicom.message(recorded("record.disclosed"), LEAF))
    assert (
        etree.tostring(root)
        .decode()
        .startswith(
            '<AuditMessage><EventIdentification EventActionCode="R" EventDateTime="2026-03-01T09:30:00.500000Z"'
            ' EventOutcomeIndicator="0">'
            '<EventID csd-code="110106" codeSystemName="DCM" originalText="Export"/>'
            '<EventTypeCode csd-code="disclose"'
            ' codeSystemName="http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle"'
            ' originalText="record.disclosed"/>'
            '<EventTypeCode csd-code="y" codeSystemName="urn:x" originalText="Why"/>'
            "<EventOutcomeDescription>as asked</EventOutcomeDescription></EventIdentification>"
            '<ActiveParticipant UserID="dr-smith" UserName="Jo Smith" UserIsRequestor="true"'
            ' NetworkAccessPointID="10.0.0.7" NetworkAccessPointTypeCode="2">'
            '<RoleIDCode csd-code="physician" codeSystemName="urn:audit-trail:role" originalText="physician"/>'
            '<RoleIDCode csd-code="admin" codeSystemName="urn:audit-trail:role" originalText="admin"/>'
            "</ActiveParticipant>"
            '<ActiveParticipant UserID="patient-service" AlternativeUserID="pod-1" UserIsRequestor="false">'
            '<RoleIDCode csd-code="110153" codeSystemName="DCM" originalText="Source Role ID"/></ActiveParticipant>'
            '<ActiveParticipant UserID="clinic" UserIsRequestor="false"/>'
            '<ActiveParticipant UserID="Registry" UserIsRequestor="false">'
            '<RoleIDCode csd-code="110152" codeSystemName="DCM" originalText="Destination Role ID"/>'
            "</ActiveParticipant>"
            '<AuditSourceIdentification AuditEnterpriseSiteID="North" AuditSourceID="patient-service"/>'
        )
    )
    objects = [
        (
            each.get("ParticipantObjectID"),
            each.get("ParticipantObjectTypeCode"),
            each.get("ParticipantObjectTypeCodeRole"),
            each.get("ParticipantObjectDataLifeCycle"),
            each.findtext("ParticipantObjectName"),
        )
        for each in root.findall(OBJECT)
    ]
    assert objects == [
        ("trail.example/log#41", "2", "13", None, "Audit Trail record"),
        ("17", "1", "1", "11", "Ann"),
        ("lab|18", "1", "1", "11", "lab|18"),
        ("Observation/o-1", "2", "4", "11", "Observation/o-1"),
        ("Device/pump-3", "2", "4", None, "Pump"),
        ("Session/s-1", "2", "13", None, "Session/s-1"),
        ("c-1", "2", "20", None, "c-1"),
    ]
    assert record_of(root) == {
        "position": "41", "previousPosition": "39", "treeSize": "64", "leafHash": bytes(range(32)).hex(),
        "eventId": "0b6a1f4e-95f7-4c1b-8f2c-0a3d5e6f7a8b", "eventType": "record.disclosed",
        "recordedAt": "2026-03-01T09:30:15.123456+00:00", "reason": "ward round", "purposeOfUse": "TREAT",
        "changedFields": "value, status", "userAgent": "curl/8", "attributes": '{"shift":"night","n":1}',
        "requestMethod": "GET", "requestPath": "/Observation?x=1", "httpStatus": "200",
        "recipientAddress": "1 Road", "disclosureDescription": "labs", "disclosurePurpose": "law",
        "emergency": "true",
    }  # fmt: skip
    assert details(root.findall(OBJECT)[3]) == {"version": "2", "dataCategory": "laboratory"}


def test_a_read_of_the_trail_names_the_log_as_the_standard_does() -> None:
    event = recorded("audit_log.read", LEAST | {"resources": [{"type": "AuditLog", "id": "/v1/events"}]})
    log = read(dicom.message(event, LEAF)).findall(OBJECT)[1]
    assert log.get("ParticipantObjectID") == "/v1/events"
    assert (log.get("ParticipantObjectTypeCode"), log.get("ParticipantObjectTypeCodeRole")) == ("2", "13")
    kind = log.find("ParticipantObjectIDTypeCode")
    assert kind is not None
    assert kind.get("csd-code") == "12"
    assert log.findtext("ParticipantObjectName") == "Security Audit Log"


def test_a_search_carries_its_query() -> None:
    query = read(dicom.message(recorded("record.searched"), LEAF)).findall(OBJECT)[-1]
    assert (query.get("ParticipantObjectTypeCode"), query.get("ParticipantObjectTypeCodeRole")) == ("2", "24")
    assert base64.b64decode(query.findtext("ParticipantObjectQuery") or "") == b"/Observation?x=1"


def test_who_starts_a_service_is_its_launcher_and_the_service_the_application() -> None:
    roles = [
        found.get("csd-code")
        for found in read(dicom.message(recorded("service.started", LEAST), LEAF)).iter("RoleIDCode")
    ]
    assert roles == ["110151", "110150"]


def test_an_alert_is_executed_whatever_was_tried() -> None:
    alert = read(dicom.message(recorded("access.denied", LEAST | {"action": "R"}), LEAF))
    read_of = read(dicom.message(recorded("api.called", FULL | {"action": "R"}), LEAF))
    assert [root[0].get("EventActionCode") for root in (alert, read_of)] == ["E", "R"]


@pytest.mark.parametrize("filling", ["n", '"', "€", "\U0001d11e"])
def test_what_is_too_long_is_cut_to_what_every_receiver_takes_and_says_so(filling: str) -> None:
    event = huge("record.disclosed", filling)
    message = dicom.message(event, LEAF)
    assert dicom.MAX_BYTES // 8 < len(message) <= dicom.MAX_BYTES
    root = read(message)
    kept = [each for each in root.findall(OBJECT) if each.get("ParticipantObjectTypeCodeRole") == "1"]
    truncated = record_of(root)["truncated"]
    assert truncated.startswith("codes (")
    assert f"patients ({500 - len(kept)} left out)" in truncated
    assert "reason" in truncated
    assert "truncated" not in record_of(read(dicom.message(recorded("record.read"), LEAF)))
