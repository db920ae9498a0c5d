"""What somebody with the login of ingest can forge, and what verification says to it."""

from __future__ import annotations

from contextlib import closing

import psycopg2
import pytest

from domain.errors import LogInconsistentError
from event_store.database import INGEST
from tests.event_store.verify.tampered_log import Log


@pytest.fixture
def log(migrated_url: str) -> Log:
    """A log of 300 events: a full tile and an edge."""
    return Log(migrated_url, [1, 299])


def as_ingest(log: Log, statement: str) -> None:
    with closing(psycopg2.connect(log.url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(f"SET ROLE {INGEST}")
        cursor.execute(statement)


A_COPY = (
    "INSERT INTO audit_trail.event SELECT {}, 700, recorded_at, occurred_at, stream, gen_random_uuid(), format, type,"
    " body FROM audit_trail.event WHERE position = 5"
)
A_HEAD = (
    "INSERT INTO audit_trail.tree_head SELECT 299, root, signed_at, note FROM audit_trail.tree_head"
    " WHERE size = 300"
)
RESET = (
    "INSERT INTO audit_trail.stream_reset SELECT stream, 300, 0, 0, now(), gen_random_uuid()"
    " FROM audit_trail.kafka_stream"
)


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        (A_COPY.format(300), "position 300: there is an event, although the log's state ends before 300"),
        (A_COPY.format(10_000), "there is an event, although the log's state ends before"),
        (
            "INSERT INTO audit_trail.event_identity VALUES (gen_random_uuid(), 7)",
            "position 7",
        ),
        ("UPDATE audit_trail.log_state SET size = size + 1000", ""),
        ("UPDATE audit_trail.log_state SET root = sha256('x')", ""),
        ("UPDATE audit_trail.log_state SET edge = ''", ""),
        ("INSERT INTO audit_trail.tile SELECT 0, 9, hashes FROM audit_trail.tile LIMIT 1", ""),
        (A_HEAD, ""),
        (RESET, "has no recording.gap event"),
    ],
)  # fmt: skip
def test_what_the_login_of_ingest_forges_is_found(log: Log, statement: str, says: str) -> None:
    as_ingest(log, statement)
    found = log.findings()
    assert found
    assert any(says in finding for finding in found), found


@pytest.mark.parametrize("change", ["size = size + 1", "root = sha256('x')", "edge = ''"])
def test_a_forged_state_is_never_extended(log: Log, change: str) -> None:
    as_ingest(log, f"UPDATE audit_trail.log_state SET {change}")
    with pytest.raises(LogInconsistentError):
        log.add(1)


def test_offsets_that_jump_and_dead_letters_are_not_sealed(log: Log) -> None:
    """See the threat model: compare with Kafka while it has the records."""
    as_ingest(log, "UPDATE audit_trail.kafka_stream SET next_offset = next_offset + 100")
    as_ingest(
        log,
        'INSERT INTO audit_trail.dead_letter (stream, topic, partition, "offset", reason, field, message)'
        " SELECT stream, topic, partition, 350, 'too_new', '', '' FROM audit_trail.kafka_stream",
    )
    assert log.findings() == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_trail.log_state SET partitioned_until = partitioned_until + 1",
        "UPDATE audit_trail.tracking SET recorder = recorder",
        "UPDATE audit_trail.kafka_stream SET topic = topic",
        "LOCK TABLE audit_trail.tracking IN ACCESS EXCLUSIVE MODE",
        "LOCK TABLE audit_trail.log_state IN SHARE MODE",
        "LOCK TABLE audit_trail.kafka_stream IN SHARE MODE",
        "INSERT INTO audit_trail.event_000000 SELECT * FROM audit_trail.event LIMIT 1",
        "SELECT nextval(pg_get_serial_sequence('audit_trail.dead_letter', 'id'))",
    ],
)
def test_the_login_of_ingest_has_no_rights_that_it_does_not_need(log: Log, statement: str) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        as_ingest(log, statement)
