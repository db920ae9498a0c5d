"""A trail with something to show on the page of every subject."""

from __future__ import annotations

from contextlib import closing
from uuid import UUID, uuid4

from msgspec.structs import replace

from domain.access.access_question import question_event
from domain.access.principal import Principal, Role
from domain.body import BodyFormat, foreign_message
from domain.event import (
    Actor,
    ActorKind,
    AuditEvent,
    Change,
    Device,
    Patient,
    RecordedEvent,
    Resource,
    Source,
)
from event_store.append import NewEvent, OffsetAdvance, append
from event_store.database import INGEST, Database
from event_store.streams import open_kafka_stream
from tests.hospital import at, event, hospital, read, record
from tests.signing import signer

NURSE = Actor(id="nina", name="Nina Nurse", roles=("nurse",))
VITALS = Source(service="vitals", instance="one")
FOREIGN = UUID("0193a2a5-7c1e-7b44-9a53-0c5f6f0f1b01")
READ = UUID("0193a2a5-7c1e-7b44-9a53-0c5f6f0f1b02")
QUESTION = UUID("0193a2a5-7c1e-7b44-9a53-0c5f6f0f1b03")
CHANGED = UUID("0193a2a5-7c1e-7b44-9a53-0c5f6f0f1b04")
MESSAGE = b'{"resourceType": "AuditEvent",\r\n "value": 1.50, "note": "' + "größer".encode() + b'"}\n'
NATIVE_ODD = ".", "..", "a/b", "../x", "a\\b", "%2e"
"""Ids that a path can't hold, or holds with care."""
WORDS = "Nobody treated me that day"
ANSWER = "A colleague stood in for your doctor"
BEFORE, AFTER = "Allergic to penicillin since 1990.", "Allergic to amoxicillin since 1990."


def asked() -> AuditEvent:
    """The question of patient 17 about a read."""
    about = RecordedEvent(
        position=0, recorded_at=at(0), stream=uuid4(), stream_position=0, event=read(2, event_id=READ)
    )
    patient = Principal(id="patient-17", roles=frozenset({Role.PATIENT}), kind=ActorKind.PATIENT)
    found = question_event(about, WORDS, by=patient, at=at(120), source=Source(service="audit-trail"))
    return AuditEvent(
        **{name: getattr(found, name) for name in found.__struct_fields__} | {"event_id": QUESTION}
    )


def subjects() -> list[AuditEvent]:
    """The hospital's morning, and more of the same."""
    machine = Actor(kind=ActorKind.SERVICE, id="vitals")
    pump = Device(id="pump-1", software_version="2.0")
    return [
        *hospital(),
        read(60, event_id=READ, actor=NURSE, emergency=True, reason="he collapsed"),
        read(61, actor=NURSE, purpose_of_use=("TREAT",)),
        *(read(70 + minute, "30", session="s-long", purpose_of_use=("TREAT",)) for minute in range(12)),
        event("session.ended", 90, session="s-1", reason="no use for 30 minutes"),
        event("record.exported", 91, patients=(Patient(id="17"),), purpose_of_use=("TREAT",)),
        event("device.connected", 92, device=pump, source=replace(VITALS, sequence=3)),
        event("device.disconnected", 93, device=pump, source=replace(VITALS, sequence=3)),
        event("service.started", 94, source=VITALS, actor=machine),
        event("health_check.failed", 95, source=VITALS, actor=machine),
        event("service.stopped", 96, source=VITALS, actor=machine),
        event(
            "record.updated",
            97,
            event_id=CHANGED,
            resources=(Resource(type="Note", id="n/1"),),
            changes=(
                Change(path="text", before=BEFORE, after=AFTER),
                Change(path="tags", before=["a", "b"], after=["a", "c"]),
            ),
        ),
        *(read(98, id, actor=NURSE, purpose_of_use=("TREAT",)) for id in NATIVE_ODD),
        *(event("user.login_failed", 99, actor=Actor(id=id), outcome="minor_failure") for id in NATIVE_ODD),
        asked(),
        event(
            "staff_disclosure.decided",
            121,
            actor=Actor(id="paul", name="Paul Privacy"),
            patients=(Patient(id="17"),),
            resources=(Resource(type="AuditEvent", id=str(QUESTION)),),
            reason=ANSWER,
        ),
    ]


def record_subjects(url: str) -> None:
    """Record them, and an event that came as a FHIR AuditEvent."""
    record(url, subjects())
    foreign = read(130, "17", actor=NURSE, event_id=FOREIGN)
    body = foreign_message(foreign, BodyFormat.FHIR_R4, [("ce_id", b"one\xff")], MESSAGE).body
    with closing(Database(url, INGEST, size=1)) as database, database.transaction() as connection:
        stream = open_kafka_stream(connection, "other.events", uuid4(), 0).stream
        row = NewEvent(FOREIGN, stream, 0, foreign.type, foreign.occurred_at, BodyFormat.FHIR_R4, body)
        append(connection, [row], signer(), offsets=[OffsetAdvance(stream, 0, 1)])
    record(url, [])
