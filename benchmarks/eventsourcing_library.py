"""The eventsourcing library's own PostgreSQL module, as it comes. Its psycopg 3 is in the benchmarks alone."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from eventsourcing.application import Application
from eventsourcing.domain import DomainEvent
from eventsourcing.persistence import ApplicationRecorder, InfrastructureFactory, Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.sql import SQL
from psycopg2.extensions import parse_dsn

BATCH = 500
_STREAM = UUID("6a3c4f0e-5f39-4f6e-9f5e-0d6f2a8f7b11")


def environment(url: str) -> dict[str, str]:
    """The settings with which the library finds the database."""
    parts = parse_dsn(url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": parts["dbname"],
        "POSTGRES_HOST": parts["host"],
        "POSTGRES_USER": parts["user"],
        "POSTGRES_PASSWORD": "trusted by its socket",
    }


@contextmanager
def library_recorder(url: str) -> Iterator[ApplicationRecorder]:
    """Its application recorder, with its table made."""
    factory: InfrastructureFactory[Any] = InfrastructureFactory.construct(environment(url))
    try:
        yield factory.application_recorder()
    finally:
        factory.close()


class Recorded(DomainEvent):
    """An audit event as the library's users would write one down."""

    patient: str
    event: dict[str, Any]


class Trail(Application[UUID]):
    """The library's application."""


class PatientCounts(PostgresTrackingRecorder):
    """One small table: how many events each patient has."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        statements: list[Any] = self.sql_create_statements
        statements.append(
            SQL(
                "CREATE TABLE IF NOT EXISTS patient_counts (patient text PRIMARY KEY, events bigint NOT NULL)"
            ).format()
        )

    def count(self, patient: str, tracking: Tracking) -> None:
        """Count one event, in the transaction that tracks it."""
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(
                "INSERT INTO patient_counts AS held VALUES (%s, 1)"
                " ON CONFLICT (patient) DO UPDATE SET events = held.events + 1",
                (patient,),
                prepare=True,
            )


class CountPatients(Projection[PatientCounts]):
    """One event, one transaction. `times` is when each was committed."""

    name = "patientcounts"

    def __init__(self, view: PatientCounts) -> None:
        super().__init__(view)
        self.times: list[float] = []

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        """Called by the library for each event."""
        self.view.count(domain_event.patient, tracking)
        self.times.append(time.perf_counter())


def library_projection(url: str, messages: Sequence[bytes]) -> float:
    """Events a second of the library's runner, from the first event's commit to the last one's."""
    env = environment(url)
    app = Trail(env)
    events = [_event(version, message) for version, message in enumerate(messages, 1)]
    stored = [app.mapper.to_stored_event(event) for event in events]
    last = 0
    for at in range(0, len(stored), BATCH):  # it hangs on some thousand in one call
        last = max(app.recorder.insert_events(stored[at : at + BATCH]) or ())
    app.close()
    with ProjectionRunner(
        application_class=Trail, projection_class=CountPatients, view_class=PatientCounts, env=env
    ) as runner:
        runner.wait(last, timeout=600)
        projection = runner.projection
        assert isinstance(projection, CountPatients)
    times = projection.times
    return (len(times) - 1) / (times[-1] - times[0])


def _event(version: int, message: bytes) -> Recorded:
    event = msgspec.json.decode(message)
    patients = event.get("patients") or [{"id": "none"}]
    # The library makes the constructor with the class.
    return Recorded(  # type: ignore[call-arg]
        originator_id=_STREAM,
        originator_version=version,
        timestamp=datetime.now(UTC),
        patient=patients[0]["id"],
        event=event,
    )
