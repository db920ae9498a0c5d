"""Commands that show what is in the trail are put on record before they do, or do nothing."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from audit_trail.embedded.broker import Broker
from domain.errors import Reason
from domain.event import AuditEvent
from domain.validation import encode_event
from event_store.dead_letters import DeadLetter
from ingest.dead_letters import patients_named
from tests.audit_trail.programs import run
from tests.detection.small_logs import A, correlation, rule
from tests.trail import START, Trail, an_event
from tests.web.read_audit.recorded_server import messages_of

NO_BROKER = "127.0.0.1:1"
REASON = "Kafka is away, and the court waits"


@pytest.fixture
def trail(projected_url: str) -> Iterator[Trail]:
    trail = Trail(projected_url)
    trail.given(
        an_event(patients=[{"id": "17", "name": "Nora Secret"}]),
        an_event(patients=[{"id": "18"}, {"id": "17"}]),
        an_event("user.logged_in"),
    )
    yield trail
    trail.close()


def stages(events: list[AuditEvent]) -> list[tuple[str | None, list[str], int]]:
    return [
        (
            event.attributes.get("stage"),
            [patient.id for patient in event.patients],
            event.attributes["returned"],
        )
        for event in sorted(events, key=lambda event: event.occurred_at)
    ]


@pytest.mark.parametrize(
    "output",
    [
        "events.ndjson",
        "-",
        *(pytest.param(f"events.{each}", marks=pytest.mark.thorough) for each in ("csv", "parquet")),
    ],
)
def test_an_export_says_that_it_begins_whom_it_tells_of_and_how_it_ended(
    trail: Trail, broker: Broker, topic: str, tmp_path: Path, output: str
) -> None:
    settings = {
        "database_url": trail.url,
        "kafka_bootstrap_servers": broker.bootstrap_servers,
        "kafka_topics": topic,
    }
    to: list[str | Path] = ["-", "--format", "csv"] if output == "-" else [tmp_path / output]
    done = run("export", *to, "--actor", "dr-smith", settings=settings)
    assert (done.returncode, done.stderr) == (0, "")
    events = messages_of(broker.bootstrap_servers, topic)
    assert stages(events) == [("started", [], 0), ("delivered", ["17", "18"], 3), ("ended", [], 3)]
    assert len({event.correlation_id for event in events}) == 1
    for event in events:
        assert (event.type, event.actor.id) == ("audit_log.read", getpass.getuser())
        assert event.attributes["via"] == "command_line"
        assert event.attributes["questions"][0]["asked"]["filter"] == {"actor": "dr-smith"}
        assert "Nora Secret" not in str(event)


def test_a_dry_run_of_rules_says_whom_its_findings_tell_of(
    trail: Trail, broker: Broker, topic: str, tmp_path: Path
) -> None:
    by_patient = correlation(
        type="event_count",
        rules=[A],
        timespan="1h",
        condition={"gte": 1},
        **{"group-by": ["person"]},
        aliases={"person": {A: "patients.id"}},
    )
    file = tmp_path / "reads.yaml"
    file.write_text(f"{rule({'s': {'type': 'record.read'}, 'condition': 's'})}\n---\n{by_patient}", "utf-8")
    settings = {
        "database_url": trail.url,
        "kafka_bootstrap_servers": broker.bootstrap_servers,
        "kafka_topics": topic,
    }
    for most, events_shown in (("0", 0), ("5", 2)):
        done = run("detect", "run", "--rule", file, "--max-alerts", most, settings=settings)
        assert done.returncode == 0, done.stderr
        assert "person 18" in done.stdout
        assert "Nora Secret" not in done.stdout
        told = stages(messages_of(broker.bootstrap_servers, topic))[-3:]
        assert [(stage, sorted(patients), rows) for stage, patients, rows in told] == [
            ("started", [], 0),
            ("delivered", ["17", "18"], events_shown),
            ("ended", [], events_shown),
        ]


def test_an_export_of_a_table_says_whom_its_rows_tell_of(
    trail: Trail, broker: Broker, topic: str, tmp_path: Path
) -> None:
    settings = {
        "database_url": trail.url,
        "kafka_bootstrap_servers": broker.bootstrap_servers,
        "kafka_topics": topic,
    }
    done = run("export", tmp_path / "rows.csv", "--table", "patient_access", settings=settings)
    assert done.returncode == 0, done.stderr
    told = [
        patient
        for _, patients, _ in stages(messages_of(broker.bootstrap_servers, topic))
        for patient in patients
    ]
    assert sorted(told) == ["17", "18"]


def test_an_evidence_kit_is_on_record_before_it_is_written(
    trail: Trail, broker: Broker, topic: str, tmp_path: Path
) -> None:
    settings = {
        "database_url": trail.url,
        "kafka_bootstrap_servers": broker.bootstrap_servers,
        "kafka_topics": topic,
    }
    done = run("evidence", "--out", tmp_path / "kit", "--patient", "18", settings=settings)
    assert done.returncode == 0, done.stderr
    (event,) = messages_of(broker.bootstrap_servers, topic)
    assert [patient.id for patient in event.patients] == ["18", "17"]
    assert event.attributes["questions"] == [
        {"operation": "evidence", "asked": {"patient": "18"}, "returned": 1}
    ]


@pytest.mark.parametrize(
    ("value", "patients"),
    [
        (encode_event(an_event(patients=[{"id": "17"}, {"id": "18"}])), ["17", "18"]),
        (b'{"event_id": 5, "patients": [{"id": "17"}, {"id": 18}, {"id": "\\u0000"}]}', ["17", "\ufffd"]),
        (b'{"specversion": "1.0", "data": {"patients": [{"id": "17"}]}}', ["17"]),
        (b'{"patients": "17"}', []),
        (b'{"patients": ["x", {"id": "17"}], "reason": "\xff"}', ["17"]),
        (
            b'{"resourceType": "AuditEvent", "entity": [{"what": {"reference": "http://h/Patient/17/_history/2"}}]}',
            ["17"],
        ),
        (b'{"patients": [{"id": "17"}, {"name": "x", "id": "18"}], "reason": "only the beg', ["17", "18"]),
        (b'{"resourceType": "AuditEvent", "entity": [{"what": {"reference": "Patient/17"}}, {"what', ["17"]),
        (b'{"event_id": "17", "reason": "only the beg', []),
        (b"[" + b"[]," * 300_000 + b"[]]", []),
        (b"[[[", []),
        (None, []),
    ],
)
def test_a_dead_letter_tells_of_the_patients_that_can_be_read_in_it(
    value: bytes | None, patients: list[str]
) -> None:
    letter = DeadLetter(
        uuid4(),
        "events",
        0,
        0,
        None,
        b"k",
        value,
        [],
        Reason.CONFLICT,
        "event_id",
        "taken",
        id=1,
        received_at=START,
    )
    assert patients_named(letter) == patients


@pytest.mark.parametrize("servers", ["", NO_BROKER])
def test_without_kafka_nothing_is_shown_unless_somebody_says_why(
    trail: Trail, tmp_path: Path, servers: str
) -> None:
    settings = {"database_url": trail.url, "reads_record_seconds": "0.5"}
    if servers:
        settings["kafka_bootstrap_servers"] = servers
    for command, out in (
        (("export", tmp_path / "events.csv"), tmp_path / "events.csv"),
        (("evidence", "--patient", "18", "--out", tmp_path / "kit"), tmp_path / "kit"),
    ):
        refused = run(*command, settings=settings)
        assert refused.returncode == (75 if servers else 2), refused.stderr
        assert "--unrecorded REASON" in refused.stderr
        assert not out.exists()
        assert refused.stdout == ""
        given = run(*command, "--unrecorded", REASON, settings=settings)
        assert given.returncode == 0, given.stderr
        assert "this is not on record" in given.stderr
        assert out.exists()


def test_a_reason_that_was_given_is_on_record_when_it_was_not_needed(
    trail: Trail, broker: Broker, topic: str, tmp_path: Path
) -> None:
    settings = {
        "database_url": trail.url,
        "kafka_bootstrap_servers": broker.bootstrap_servers,
        "kafka_topics": topic,
    }
    run("evidence", "--out", tmp_path / "kit", "--patient", "18", "--unrecorded", REASON, settings=settings)
    (event,) = messages_of(broker.bootstrap_servers, topic)
    assert event.reason == REASON
