"""More dead letters of a source than usual are on record once an hour, with what the messages say of themselves."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from domain.body import read_event
from domain.dead_letter_rise import DeadLetterRise
from domain.errors import Reason
from domain.event import AuditEvent, Source
from event_store.append import append
from event_store.database import READER, Database
from event_store.dead_letters import NewDeadLetter
from event_store.verify.run import verify
from ingest import dead_letter_watch
from ingest.dead_letter_watch import FLOOR, DeadLetterWatch
from tests.signing import signer

Call = Callable[..., Any]
HOUR = timedelta(hours=1)
START = datetime(2026, 3, 2, 8, 10, tzinfo=UTC)
NATIVE = b'{"event_id": 7, "source": {"service": "%s"}}'


def letters(count: int, value: bytes | None, topic: str = "events") -> list[NewDeadLetter]:
    """Rejected messages with this value."""
    return [
        NewDeadLetter(
            uuid4(), topic, 0, n, None, None, value, [], Reason.INVALID_FIELD, "event_id", "not a UUID"
        )
        for n in range(count)
    ]


class Process:
    """An ingest process. Each batch comes at a time that the test gives, in hours."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._watch = DeadLetterWatch(signer(), Source(service="audit-trail", instance="here"), lambda: START)

    def batch(self, hours: float, rejected: list[NewDeadLetter], **accepted: int) -> None:
        self._batch(hours, rejected, accepted)
        self._watch.committed()

    def batch_in_vain(self, hours: float, rejected: list[NewDeadLetter]) -> None:
        """The commit fails."""
        with suppress(ConnectionError):
            self._batch(hours, rejected, {}, ConnectionError())

    def _batch(
        self,
        hours: float,
        rejected: list[NewDeadLetter],
        accepted: dict[str, int],
        fault: Exception | None = None,
    ) -> None:
        counts = {("events", service): count for service, count in accepted.items()}
        with self._database.transaction() as connection:
            appended = append(connection, [], signer())._replace(recorded_at=START + hours * HOUR)
            self._watch.record(connection, appended, counts, rejected)
            if fault:
                raise fault


@pytest.fixture
def risen(query: Call) -> Callable[[], list[AuditEvent]]:
    """`risen()`: the events about dead letters."""

    def read() -> list[AuditEvent]:
        rows = query(
            "SELECT format, body FROM audit_trail.event WHERE type = 'dead_letters.risen' ORDER BY position"
        )
        return [read_event(format, bytes(body)) for format, body in rows]

    return read


def facts(event: AuditEvent) -> DeadLetterRise:
    return msgspec.convert(event.attributes, DeadLetterRise)


def test_a_rise_is_one_event_an_hour_with_its_numbers_also_after_a_restart(
    database: Database, migrated_url: str, risen: Call
) -> None:
    process = Process(database)
    process.batch(0, letters(FLOOR - 1, NATIVE % b"laboratory"), laboratory=30)
    assert risen() == []
    process.batch_in_vain(0.1, letters(5, NATIVE % b"laboratory"))
    assert risen() == []
    process.batch(0.2, letters(1, NATIVE % b"laboratory"))
    process.batch(0.3, letters(50, NATIVE % b"laboratory"))
    Process(database).batch(0.4, letters(50, NATIVE % b"laboratory"))
    [event] = risen()
    assert facts(event) == DeadLetterRise(
        topic="events",
        claimed_source="laboratory",
        hour=START.replace(minute=0),
        dead_letters=FLOOR,
        received=FLOOR + 30,
        usual_share=0.0,
        reasons={"invalid_field": FLOOR},
    )
    assert event.source.service == "audit-trail"
    assert event.outcome_reason == "20 of 50 messages were rejected within the hour; usual are 0.0%"
    process.batch(1, letters(60, NATIVE % b"pharmacy"))
    assert [facts(each).claimed_source for each in risen()] == ["laboratory", "pharmacy"]
    assert not verify(migrated_url, READER, signer().verifiers).findings


def test_what_is_usual_for_a_source_is_no_rise(database: Database, risen: Call) -> None:
    process = Process(database)
    for hour in range(40):
        process.batch(hour, letters(10, NATIVE % b"old"), old=90)
    process.batch(40, letters(40, NATIVE % b"old"), old=60)
    assert risen() == []
    process.batch(41, letters(60, NATIVE % b"old"), old=40)
    [event] = risen()
    assert facts(event).usual_share == pytest.approx(0.107, abs=0.003)


def test_few_of_very_many_are_no_rise(database: Database, risen: Call) -> None:
    Process(database).batch(0, letters(FLOOR, NATIVE % b"large"), large=100 * FLOOR)
    assert risen() == []


@pytest.mark.parametrize(
    ("value", "source"),
    [
        (b'{"specversion": "1.0", "source": "//ehr"}', "//ehr"),
        (b'{"source": {"service": "a\\u0000b"}}', "a\ufffdb"),
        (b'{"source": {"service": "%s"}}' % (b"x" * 1000), "x" * 256),
        (b'{"source": {"service": ""}}', "(unknown)"),
        (b'{"source": {"service": 7}}', "(unknown)"),
        (b'{"resourceType": "AuditEvent"}', "(unknown)"),
        (b'{"source": {"service": "a"}, "filling": "%s"}' % (b"x" * 70_000), "(unknown)"),
        (b'{"source": "\xff"}', "(unknown)"),
        (b"[" * 60_000, "(unknown)"),
        (b"\x00", "(unknown)"),
        (None, "(unknown)"),
    ],
)
def test_the_source_is_what_the_message_says_if_that_can_be_read(
    database: Database, risen: Call, value: bytes | None, source: str
) -> None:
    Process(database).batch(0, letters(FLOOR, value))
    assert [facts(each).claimed_source for each in risen()] == [source]


def test_messages_of_an_unknown_source_are_a_share_of_their_topic(database: Database, risen: Call) -> None:
    process = Process(database)
    process.batch(0, letters(FLOOR, b"?"), ehr=100 * FLOOR)
    process.batch(0.1, letters(FLOOR, b"?", "other"), ehr=100 * FLOOR)
    assert [facts(each).topic for each in risen()] == ["other"]


def test_names_and_events_are_bounded(
    database: Database, risen: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letter_watch, "MAX_EVENTS", 3)
    monkeypatch.setattr(dead_letter_watch, "MAX_GROUPS", 2)
    process = Process(database)
    for number in range(5):
        process.batch(number / 10, letters(FLOOR, NATIVE % f"s{number}".encode()))
    assert len(risen()) == 3
    process.batch(1, letters(FLOOR, NATIVE % b"s9"))
    assert [facts(each).claimed_source for each in risen()][-1] == "s9"
