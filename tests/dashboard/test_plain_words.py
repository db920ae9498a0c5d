"""Events in plain words, for the people whom they are about."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from dashboard.links import subject
from dashboard.plain_words import code_with_words, plain_sentence, reason
from dashboard.viewer import Viewer
from domain.access.principal import Principal, Role
from domain.access.scope import Scope
from domain.catalogue import CATALOGUE
from domain.event import Actor, ActorKind, AuditEvent, Device, Outcome, Patient, Resource
from tests.hospital import event

NOBODY = Actor()
NURSE = Actor(roles=("nurse",))
OWN, OTHER = (Patient(id="17"),), (Patient(id="18"),)
RESOURCES = (Resource(type="Observation", id="o-1"), Resource(type="Patient", id="17"))


def viewer(*patients: str) -> Viewer:
    principal = Principal(
        id="patty",
        roles=frozenset({Role.PATIENT}),
        kind=ActorKind.PATIENT,
        actors=("p-1",),
        patients=patients,
    )
    return Viewer(principal=principal, scope=Scope(principal), now=datetime(2026, 3, 29, tzinfo=UTC))


@pytest.mark.parametrize(
    ("given", "text", "why"),
    [
        (event("record.read", 0, actor=NURSE, patients=OWN, resources=RESOURCES, purpose_of_use=("TREAT", "X")),
         "Somebody (nurse) read your record (Observation o-1)", "for treatment, X"),
        (event("audit_log.read", 0, actor=Actor(roles=("privacy_officer",)), patients=OWN),
         "Somebody (privacy officer) looked up who had opened your record", ""),
        (event("api.called", 0, actor=NOBODY, purpose_of_use=("TREAT",)),
         "A member of staff used a program", "for treatment"),
        (event("record.updated", 0, actor=NOBODY, patients=OWN, emergency=True, reason="he fell"),
         "A member of staff changed your record, in an emergency", "no reason was given; he fell"),
        (event("record.disclosed", 0, actor=Actor(name="Ada"), patients=OTHER, outcome="major_failure"),
         "Ada gave to somebody outside the record of patient 18, which failed", "no reason was given"),
        (event("user.login_failed", 0, actor=Actor(id="p-1"), outcome="minor_failure"),
         "You tried to sign in, which failed", ""),
        (event("access.denied", 0, actor=Actor(id="patty"), patients=OTHER, outcome="serious_failure"),
         "You tried to open, without being allowed to, the record of patient 18", ""),
        (event("device.connected", 0, actor=Actor(kind=ActorKind.DEVICE), device=Device(id="pump-1")),
         "A device did something else (A device joined the network) with device pump-1", ""),
        (event("audit_log.read", 0, patients=OWN, resources=(Resource(type="AuditLog", id="/v1/events"),)),
         "Ada Example looked up who had opened your record", ""),
    ],
)  # fmt: skip
def test_an_event_reads_as_a_plain_sentence_with_its_reason(given: AuditEvent, text: str, why: str) -> None:
    assert (plain_sentence(given, viewer("17")), reason(given)) == (text, why)


def test_a_purpose_has_its_code_and_its_meaning() -> None:
    assert [code_with_words(each) for each in ("ETREAT", "X")] == [
        "ETREAT (for treatment in an emergency)",
        "X",
    ]


def test_a_parent_reads_whose_record_it_was() -> None:
    found = plain_sentence(event("record.read", 0, patients=OWN), viewer("17", "19"))
    assert found == "Ada Example read the record of 17"


def test_no_type_of_the_catalogue_reads_as_jargon() -> None:
    for type in (*CATALOGUE, "unheard.of"):
        found = plain_sentence(event(type, 0, outcome=Outcome.SUCCESS, patients=OWN), viewer("17"))
        assert type not in found or type not in CATALOGUE
        assert "break-glass" not in found.lower() or type == "emergency_access.ended"


@pytest.mark.parametrize(
    ("id", "address"),
    [
        ("17", "/patients/17"),
        ("a b%", "/patients/a%20b%25"),
        ("...", "/patients/..."),
        ("a.", "/patients/a."),
        ("é\n", "/patients/%C3%A9%0A"),
        (".", "/patients?id=."),
        ("..", "/patients?id=.."),
        ("Patient/../17", "/patients?id=Patient%2F..%2F17"),
        ("a\\b", "/patients?id=a%5Cb"),
        ("", "/patients?id="),
    ],
)
def test_an_id_that_a_path_cannot_hold_is_in_the_query(id: str, address: str) -> None:
    assert subject("patient", id) == address
