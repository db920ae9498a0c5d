"""A real trail for the query tests: events appended to the store and projected by the runner."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from domain.body import BodyFormat
from domain.event import (
    Actor,
    ActorKind,
    AuditEvent,
    Change,
    Client,
    Device,
    Patient,
    Request,
    Resource,
    Source,
)
from domain.validation import encode_event
from event_store.append import NewEvent, OffsetAdvance, append
from event_store.database import INGEST, PROJECTOR, Connection, Database
from event_store.notification import Announcer
from event_store.streams import open_kafka_stream
from projections.registry import built_in
from projections.runner import Runner
from tests.signing import signer

START = datetime(2026, 3, 1, 8, tzinfo=UTC)
TOPIC_ID = UUID("6a5f5a0e-7a39-4f6c-a8d8-0f3a6f0b7a11")


def at(minute: int) -> datetime:
    """`minute` minutes into the trail."""
    return START + timedelta(minutes=minute)


def event(type: str, minute: int, **fields: Any) -> AuditEvent:
    """An event of the patient service, by the user `ada` unless the fields say otherwise."""
    fields.setdefault("source", Source(service="patient-service"))
    fields.setdefault("actor", Actor(id="ada", name="Ada Example"))
    return AuditEvent(event_id=fields.pop("event_id", uuid4()), type=type, occurred_at=at(minute), **fields)


def read(minute: int, patient: str = "17", **fields: Any) -> AuditEvent:
    """A read of an observation of `patient`."""
    fields.setdefault("resources", (Resource(type="Observation", id=f"o-{patient}"),))
    return event("record.read", minute, patients=(Patient(id=patient),), **fields)


def record(url: str, events: Sequence[AuditEvent]) -> None:
    """Append `events` as one batch of a Kafka partition, and let every projector apply them."""
    with closing(Database(url, INGEST, size=1)) as database:
        with database.transaction() as connection:
            size = append_only(connection, events)
        Announcer(database).announce(size)
    with closing(Database(url, PROJECTOR, size=10)) as database:
        Runner(database, built_in()).catch_up()


def append_only(connection: Connection, events: Sequence[AuditEvent]) -> int:
    """Append `events` without a projector; the size of the log afterwards."""
    opened = open_kafka_stream(connection, "audit.events", TOPIC_ID, 0)
    stream, offset = opened.stream, opened.next_offset
    rows = [
        NewEvent(
            each.event_id,
            stream,
            offset + index,
            each.type,
            each.occurred_at,
            BodyFormat.NATIVE,
            encode_event(each),
        )
        for index, each in enumerate(events)
    ]
    moved = [OffsetAdvance(stream, offset, offset + len(events))]
    return append(connection, rows, signer(), offsets=moved).size


def hospital() -> list[AuditEvent]:
    """A morning: reads of two patients, a failed log-in, a device's change, and a service that restarts."""
    bob = Actor(id="bob", name="Bob Example")
    return [
        event(
            "user.login_failed", 0, outcome="minor_failure", session="s-1", client=Client(address="10.0.0.7")
        ),
        event("user.logged_in", 1, session="s-1", client=Client(address="10.0.0.7")),
        read(2, purpose_of_use=("TREAT",), session="s-1", correlation_id="c-1"),
        read(3, purpose_of_use=("TREAT",), session="s-1"),
        read(4, "18", actor=bob, emergency=True, reason="cardiac arrest", purpose_of_use=("ETREAT",)),
        read(5, actor=bob),
        event(
            "record.updated",
            6,
            patients=(Patient(id="17"),),
            resources=(Resource(type="Patient", id="17"),),
            changes=(Change(path="phone", before="1", after={"home": ["2"]}),),
            attributes={"big": 12345678901234567890123},
        ),
        event(
            "configuration.changed",
            7,
            device=Device(id="pump-1", name="Pump", software_version="1.0"),
            changes=(Change(path="limit", before=5, after=7),),
        ),
        event(
            "service.restarted",
            8,
            source=Source(service="vitals"),
            actor=Actor(kind=ActorKind.SERVICE, id="vitals"),
        ),
        event(
            "api.called",
            9,
            source=Source(service="vitals"),
            actor=Actor(kind=ActorKind.SERVICE, id="vitals"),
            request=Request(method="GET", path="/x", status=500, duration_ms=1.5),
        ),
    ]
