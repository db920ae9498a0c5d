"""A jump of the database's clock is on record once: when it began, and when it was over."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg2
import pytest

from domain.body import read_event
from domain.event import AuditEvent, Source
from event_store.append import OffsetAdvance, append
from event_store.database import READER, Database
from event_store.streams import open_kafka_stream
from event_store.verify.run import verify
from ingest.clock_watch import ClockWatch
from ingest.settings import IngestSettings
from tests.event_store.new_events import event
from tests.signing import signer

Call = Callable[..., Any]
TOPIC = uuid4()
HOUR = timedelta(hours=1)


class Process:
    """An ingest process that appends one event a batch. Its machine's clock is off by `off`."""

    def __init__(self, database: Database, host: str = "here", off: timedelta = timedelta()) -> None:
        self._database = database
        self._watch = ClockWatch(
            signer(), Source(service="audit-trail", instance=host), lambda: datetime.now(UTC) + off
        )

    def append(self) -> None:
        self._append()
        self._watch.committed()

    def append_in_vain(self) -> None:
        """The commit fails."""
        with suppress(ConnectionError):
            self._append(ConnectionError())

    def _append(self, fault: Exception | None = None) -> None:
        with self._database.transaction() as connection:
            stream = open_kafka_stream(connection, "t", TOPIC, 0)
            at = stream.next_offset
            new = event(stream.stream, at)
            appended = append(connection, [new], signer(), offsets=[OffsetAdvance(stream.stream, at, at + 1)])
            self._watch.record(connection, appended)
            if fault:
                raise fault


def set_back(url: str, by: timedelta) -> None:
    """As if the clock had been ahead until now by that much, and were set back."""
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_trail.event DISABLE TRIGGER USER")
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE audit_trail.event SET recorded_at = recorded_at + %s", (by,))
        cursor.execute("ALTER TABLE audit_trail.event ENABLE TRIGGER USER")


@pytest.fixture
def recorded(query: Call) -> Callable[[], list[tuple[int, AuditEvent]]]:
    """`recorded()`: the events about the clock, with their positions."""

    def read() -> list[tuple[int, AuditEvent]]:
        rows = query(
            "SELECT position, format, body FROM audit_trail.event WHERE type LIKE 'recording_clock.%%'"
            " ORDER BY position"
        )
        return [(position, read_event(format, bytes(body))) for position, format, body in rows]

    return read


def kinds(recorded: list[tuple[int, AuditEvent]]) -> list[str]:
    return [event.type.removeprefix("recording_clock.") for _, event in recorded]


def test_a_clock_that_was_set_back_is_one_event_and_its_recovery_another(
    database: Database, migrated_url: str, recorded: Call
) -> None:
    process = Process(database)
    process.append()
    process.append()
    assert recorded() == []
    set_back(migrated_url, HOUR)
    process.append_in_vain()
    process.append()
    [(position, begun)] = recorded()
    assert (position, begun.type) == (3, "recording_clock.set_back")
    assert begun.attributes["from_position"] == 2
    assert 3590 < begun.attributes["seconds"] < 3610
    assert abs(begun.occurred_at - datetime.now(UTC)) < timedelta(minutes=1)

    for _ in range(2):
        process.append()
    Process(database).append()  # after a restart
    assert kinds(recorded()) == ["set_back"]
    set_back(migrated_url, HOUR)  # once more
    Process(database, "elsewhere").append()
    process.append()
    assert kinds(recorded()) == ["set_back", "set_back"]

    set_back(migrated_url, -2 * HOUR)
    process.append()
    Process(database).append()
    assert kinds(recorded()) == ["set_back", "set_back", "recovered"]
    (_, again), (_, over) = recorded()[1:]
    assert over.attributes["answers"] == str(again.event_id)
    assert over.attributes["began"] == "recording_clock.set_back"
    assert over.attributes["began_at_position"] == again.attributes["from_position"]


def test_a_clock_far_ahead_of_the_machine_that_ingests_is_one_event(
    database: Database, migrated_url: str, recorded: Call
) -> None:
    Process(database, off=timedelta(seconds=-50)).append()
    assert recorded() == []
    process = Process(database, off=-HOUR)
    for _ in range(2):
        process.append()
    Process(database, off=-HOUR).append()
    other = Process(database, "elsewhere", off=-HOUR)
    other.append()
    assert kinds(recorded()) == ["ahead"]
    [(_, begun)] = recorded()
    assert 3590 < begun.attributes["seconds"] < 3610
    Process(database).append()
    assert kinds(recorded()) == ["ahead", "recovered"]
    report = verify(migrated_url, READER, signer().verifiers)
    assert not report.findings


def test_two_machines_whose_clocks_differ_do_not_answer_each_other(
    database: Database, recorded: Call
) -> None:
    right, wrong = Process(database), Process(database, "elsewhere", off=-HOUR)
    for _ in range(3):
        right.append()
        wrong.append()
    assert kinds(recorded()) == ["ahead"]


def test_ingest_records_it_between_the_events_of_kafka(
    settings: IngestSettings, publish: Call, running: Call, query: Call, message: Call, migrated_url: str,
    recorded: Call,
) -> None:  # fmt: skip
    publish([message()])
    with running(settings) as run:
        run.until(lambda: run.ingest.counters.accepted == 1)
        set_back(migrated_url, HOUR)
        publish([message()])
        run.until(lambda: run.ingest.counters.accepted == 2)
        publish([message()])
        run.until(lambda: run.ingest.counters.accepted == 3)
    assert kinds(recorded()) == ["set_back"]
    assert query("SELECT count(*) FROM audit_trail.event") == [(4,)]
