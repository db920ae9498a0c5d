"""`audit-trail context`: an operator loads, checks and lists tables, and the trail has every load."""

from __future__ import annotations

import os
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaConsumer, TopicPartition

from audit_trail.embedded.broker import Broker
from domain.event import AuditEvent
from domain.validation import decode_event
from event_store.database import Database
from tests.audit_trail.programs import eventually, run
from tests.conftest import TopicFactory

SAMPLES = Path(__file__).parents[2] / "detection" / "context" / "samples"
BY = ("--by", "n.operator", "--reason", "the nightly load")
AWAY = "127.0.0.1:1"


def _context(
    *arguments: str | Path, url: str = "", topic: str = "", brokers: str = AWAY
) -> subprocess.CompletedProcess[str]:
    settings = {"kafka_bootstrap_servers": brokers, "publish_timeout_seconds": "2"}
    if url:
        settings |= {"database_url": url, "kafka_topics": topic or "audit.events"}
    return run("context", *arguments, settings=settings)


def _events(broker: Broker, topic: str, wanted: int) -> list[AuditEvent]:
    with closing(
        KafkaConsumer(bootstrap_servers=broker.bootstrap_servers, enable_auto_commit=False)
    ) as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        consumer.seek_to_beginning()
        found: list[bytes] = []

        def enough() -> bool:
            for records in consumer.poll(timeout_ms=500).values():
                found.extend(each.value for each in records)
            return len(found) >= wanted

        assert eventually(enough), len(found)
    return [decode_event(each) for each in found]


def test_an_operator_loads_a_table_and_the_trail_has_it(
    migrated_url: str, broker: Broker, make_topic: TopicFactory
) -> None:
    topic = make_topic(1)

    def context(*arguments: str | Path) -> str:
        done = _context(*arguments, url=migrated_url, topic=topic, brokers=broker.bootstrap_servers)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    said = context("load", "staff", SAMPLES / "practitioners.json", "--format", "fhir", *BY)
    assert "staff: version 1 has 2 rows" in said
    assert "left out: 1 OperationOutcome" in said
    assert "the trail has the load of staff, version 1" in said
    assert "nothing changes" in context(
        "load", "staff", SAMPLES / "practitioners.json", "--format", "fhir", *BY
    )
    assert "staff: version 2 has 2 rows" in context(
        "load", "staff", SAMPLES / "users.json", "--format", "scim", *BY
    )
    events = _events(broker, topic, 2)
    assert [(event.type, event.attributes["version"], event.reason) for event in events] == [
        ("context.loaded", 1, "the nightly load"),
        ("context.loaded", 2, "the nightly load"),
    ]
    listed = context("list")
    assert [line.split()[:3] for line in listed.splitlines()[1:2]] == [["staff", "2", "2"]]
    assert "not loaded: patients, encounters" in listed
    assert (
        len([line for line in context("list", "staff").splitlines() if line.strip().startswith("staff")]) == 2
    )
    shown = context("show", "staff", "--version", "1")
    assert "from fhir" in shown
    assert "  family_name: 2\n" in shown
    assert "areful" not in shown


def test_without_kafka_a_load_is_kept_and_published_later(
    migrated_url: str, broker: Broker, make_topic: TopicFactory
) -> None:
    topic = make_topic(1)
    done = _context("load", "patients", SAMPLES / "patients.ndjson", *BY, url=migrated_url, topic=topic)
    assert (done.returncode, "the trail does not have that yet" in done.stderr) == (75, True), done.stderr
    assert "not yet" in _context("list", url=migrated_url).stdout
    again = _context("publish", url=migrated_url, topic=topic, brokers=broker.bootstrap_servers)
    assert "the trail has the load of patients, version 1" in again.stdout
    assert len(_events(broker, topic, 1)) == 1
    assert "not yet" not in _context("list", url=migrated_url).stdout


def test_a_check_needs_no_database_and_stores_nothing() -> None:
    done = _context("check", "encounters", SAMPLES / "encounters_r4.ndjson")
    assert done.returncode == 0, done.stderr
    assert "encounters: 2 rows (sha256 " in done.stdout
    assert "left out: 1 Observation" in done.stderr


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    file = tmp_path / "staff.csv"
    file.write_text("id,shoe\nada,4\n", encoding="utf-8")
    for arguments, code, message in (
        (("check", "staff", file), 1, "line 1, shoe: the table staff has no column of this name"),
        (("check", "stuff", file), 2, "TABLE: there is no table of this name: write staff, patients"),
        (("check", "staff", file, "--format", "xml"), 2, "--format: write csv, fhir, scim"),
        (("check", "rosters", file, "--format", "fhir"), 2, "rosters is read from csv, not from fhir"),
        (("check", "staff", file, "--time-zone", "Mars/Base"), 2, "--time-zone: there is no such"),
        (("check", "staff", file, "--base", "server"), 2, "--base: write the address"),
        (("check", "staff", tmp_path / "missing.csv"), 2, "No such file"),
        (("load", "staff", file, "--by", " ", "--reason", "x"), 2, "--by: give 1 to 256"),
    ):
        done = _context(*arguments)
        assert (done.returncode, message in done.stderr) == (code, True), done.stderr


def test_a_file_comes_through_a_pipe_too(tmp_path: Path) -> None:
    pipe = tmp_path / "staff.csv"
    os.mkfifo(pipe)
    with subprocess.Popen(["sh", "-c", f'printf "id\\nada\\n" > "{pipe}"']):
        done = _context("check", "staff", pipe)
    assert "staff: 1 rows" in done.stdout, done.stderr


def test_the_events_of_a_database_name_the_login(migrated_url: str) -> None:
    _context("load", "vips", SAMPLES / "patients.ndjson", *BY, url=migrated_url)
    with (
        closing(Database(migrated_url, None)) as database,
        database.transaction() as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT login = session_user, decided_by, format FROM audit_trail.context_version")
        assert cursor.fetchall() == [(True, "n.operator", "fhir")]


@pytest.mark.parametrize("words", [("list",), ("publish",), ("show", "staff")])
def test_a_database_without_the_tables_is_named(database_url: str, words: tuple[str, ...]) -> None:
    done = _context(*words, url=database_url)
    assert (done.returncode, "audit-trail migrate" in done.stderr) == (2, True), done.stderr
