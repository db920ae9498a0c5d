"""An operator looks at findings and closes them: once, with a name and a reason that the trail keeps."""

from __future__ import annotations

from contextlib import closing

import psycopg2
import pytest
from kafka import KafkaConsumer, TopicPartition

from audit_trail.embedded.broker import Broker
from domain.event import AuditEvent
from domain.validation import decode_event
from event_store.database import GUARD, Database
from event_store.integrity_findings import Certainty, Check, NewFinding, end_findings, see_finding
from tests.audit_trail.programs import run
from tests.conftest import TopicFactory

FACT = NewFinding(Check.PUBLISH, "folder", "fork", Certainty.FACT, "the log was rewritten", 263)
CLAIM = NewFinding(Check.PUBLISH, "witness w", "claim", Certainty.CLAIM, "witness w says so", 263)
BY = ("--by", "n.operator", "--reason", "The witness was restored from an old copy")


@pytest.fixture
def database_with_findings(migrated_url: str) -> str:
    with closing(Database(migrated_url, GUARD)) as database, database.transaction() as connection:
        assert see_finding(connection, FACT)
        assert see_finding(connection, CLAIM)
        assert not see_finding(connection, FACT)
    return migrated_url


def published(broker: Broker, topic: str) -> list[AuditEvent]:
    with closing(
        KafkaConsumer(
            bootstrap_servers=broker.bootstrap_servers, enable_auto_commit=False, consumer_timeout_ms=3000
        )
    ) as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        consumer.seek_to_beginning()
        return [decode_event(record.value) for record in consumer]


def test_a_finding_is_closed_once_and_the_trail_has_it_and_its_answer(
    database_with_findings: str, broker: Broker, make_topic: TopicFactory
) -> None:
    topic = make_topic(1)
    settings = {
        "database_url": database_with_findings,
        "kafka_bootstrap_servers": broker.bootstrap_servers,
        "kafka_topics": topic,
    }
    listed = run("findings", "list", settings=settings)
    assert listed.returncode == 0, listed.stderr
    assert "publish/folder" in listed.stdout
    assert "witness w says so" in listed.stdout
    # A broker that is away: the decision stands, and running the command again publishes the answer.
    away = run("findings", "close", "2", *BY, settings=settings | {"kafka_bootstrap_servers": "127.0.0.1:9"})
    assert away.returncode == 75
    assert "finding 2 is closed, and the trail does not have the answer yet" in away.stderr
    for _ in range(2):
        closed = run("findings", "close", "2", *BY, settings=settings)
        assert closed.returncode == 0, closed.stderr
    told, answered = published(broker, topic)
    assert (told.type, answered.type) == ("integrity_check.unconfirmed", "integrity_check.answered")
    assert (answered.actor.id, answered.reason) == (BY[1], BY[3])
    assert answered.attributes["answers"] == str(told.event_id) == answered.resources[0].id
    listed = run("findings", "list", settings=settings)
    assert "witness w" not in listed.stdout
    assert (
        "n.operator: The witness was restored"
        in run("findings", "list", "--closed", settings=settings).stdout
    )
    other = run("findings", "close", "2", "--by", "somebody", "--reason", "else", settings=settings)
    assert other.returncode == 1
    assert "finding 2 was closed already" in other.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("99", *BY), 2, "there is no finding 99"),
        (("0", *BY), 2, "greater than or equal to 1"),
        ((str(2**63), *BY), 2, "less than or equal to"),
        (("1", "--by", " ", "--reason", "x"), 2, "--by: give 1 to 256 characters"),
        (("1", "--by", "x" * 257, "--reason", "x"), 2, "--by"),
        (("1", "--by", "x", "--reason", ""), 2, "--reason: give 1 to"),
        (("1", "--by", "x", "--reason", "\udcff"), 2, "--reason: give valid UTF-8"),
        (("1", "--by", "x"), 2, "--reason"),
        (("2", *BY), 1, "finding 2 has ended already"),
    ],
)
def test_a_close_that_can_not_be_recorded_is_refused(
    database_with_findings: str, arguments: tuple[str, ...], code: int, says: str
) -> None:
    with closing(Database(database_with_findings, GUARD)) as database, database.transaction() as connection:
        end_findings(connection, [2])
    settings = {"database_url": database_with_findings, "kafka_bootstrap_servers": "127.0.0.1:9"}
    ended = run("findings", "close", *arguments, settings=settings)
    assert ended.returncode == code, ended.stderr
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM audit_trail.integrity_finding",
        "TRUNCATE audit_trail.integrity_finding",
        "UPDATE audit_trail.integrity_finding SET what = 'nothing'",
        "UPDATE audit_trail.integrity_finding SET closed_at = NULL WHERE id = 2",
        "UPDATE audit_trail.integrity_finding SET closed_by = 'x', close_reason = 'y' WHERE id = 2",
        "UPDATE audit_trail.integrity_finding SET closed_by = 'x', close_reason = 'y' WHERE id = 1",
    ],
)
@pytest.mark.parametrize("role", [GUARD, "audit_trail_ingest", "audit_trail_reader"])
def test_nobody_takes_a_finding_back(database_with_findings: str, statement: str, role: str) -> None:
    with closing(Database(database_with_findings, GUARD)) as database, database.transaction() as connection:
        end_findings(connection, [2])
    with (
        closing(psycopg2.connect(database_with_findings)) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(f"SET ROLE {role}")
        with pytest.raises(psycopg2.Error):
            cursor.execute(statement)
