"""PgBouncer: sessions are kept in session mode; the other modes are refused before anything is set in a session."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from audit_trail.embedded.broker import Broker, free_ports
from domain.errors import ConfigurationError
from event_store.database import READER, Database, only
from tests.audit_trail.programs import eventually, fetch, run, running
from tests.event_store.bouncer import bouncing

pytestmark = pytest.mark.needs_program("pgbouncer")

WHY = "set pool_mode=session in PgBouncer, or connect to PostgreSQL directly"


def ask(database: Database) -> int:
    with database.transaction(read_only=True) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 17")
        return int(only(cursor))


@pytest.mark.parametrize("mode", ["transaction", "statement"])
@pytest.mark.parametrize("role", [READER, None])
def test_a_pooler_that_does_not_keep_sessions_is_refused(
    migrated_url: str, server_folder: Path, mode: str, role: str | None
) -> None:
    with bouncing(server_folder, migrated_url, mode) as url:
        with closing(Database(url, role)) as database, pytest.raises(ConfigurationError, match=WHY):
            ask(database)
        if mode == "transaction":  # the process that the pooler gives to others has none of our settings
            with closing(psycopg2.connect(url)) as other, other.cursor() as cursor:
                cursor.execute("SELECT current_user::text, current_setting('search_path')")
                assert cursor.fetchall() == [("postgres", '"$user", public')]


def test_transaction_mode_is_found_while_other_clients_use_the_pool(
    migrated_url: str, server_folder: Path
) -> None:
    with bouncing(server_folder, migrated_url, "transaction", size=5) as url:
        others = [psycopg2.connect(url) for _ in range(3)]
        for each in others[:2]:
            each.cursor().execute("SELECT 1")
        with closing(Database(url, READER)) as database, pytest.raises(ConfigurationError, match=WHY):
            ask(database)
        for each in others:
            each.close()


def test_session_mode_is_accepted_even_without_a_second_connection(
    migrated_url: str, server_folder: Path
) -> None:
    with (
        bouncing(server_folder, migrated_url, "session", size=1) as url,
        closing(Database(url, READER, size=1)) as database,
    ):
        assert [ask(database) for _ in range(3)] == [17, 17, 17]


@pytest.mark.parametrize(
    "command",
    [
        ["migrate"],
        ["ingest"],
        ["project"],
        ["serve"],
        ["guard"],
        ["forward", "status"],
        ["projections", "list"],
    ],
)
def test_every_part_ends_with_2_in_transaction_mode(
    migrated_url: str, server_folder: Path, command: list[str]
) -> None:
    with bouncing(server_folder, migrated_url, "transaction") as url:
        (port,) = free_ports(1)
        settings = {
            "database_url": url,
            "kafka_bootstrap_servers": "127.0.0.1:9",
            "heads_topic": "",
            "http_port": str(port),
        }
        ended = run(*command, settings=settings)
    assert ended.returncode == 2, ended.stderr
    assert WHY in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr


@pytest.mark.thorough
def test_every_part_works_through_session_mode(
    migrated_url: str, server_folder: Path, broker: Broker, topic: str
) -> None:
    event = {
        "event_id": "0193a2a5-7c1e-7b44-9a53-0c5f6f0f1a0f",
        "type": "record.read",
        "occurred_at": "2026-03-01T08:15:30Z",
        "source": {"service": "patient-service"},
        "actor": {"id": "d.example"},
        "patients": [{"id": "17"}],
        "resources": [{"type": "Observation", "id": "o-3"}],
    }
    (port,) = free_ports(1)
    parts = ("ingest", "project", "serve", "guard")
    with bouncing(server_folder, migrated_url, "session", size=25) as url:
        settings = {
            "database_url": url,
            "kafka_bootstrap_servers": broker.bootstrap_servers,
            "kafka_topics": topic,
            "kafka_assignment": "static",
            "heads_topic": "",
            "heads_folder": str(server_folder / "heads"),
            "http_port": str(port),
        }
        assert run("migrate", settings=settings).returncode == 0
        with running(server_folder, *parts, settings=settings):
            api = f"http://127.0.0.1:{port}"
            assert eventually(lambda: fetch(f"{api}/readyz")[0] == 200, 120), fetch(f"{api}/readyz")
            assert fetch(f"{api}/v1/events", event)[0] == 202
            query = {"query": '{ events(first: 5, filter: {patient: "17"}) { nodes { eventId } } }'}
            assert eventually(lambda: "0193a2a5" in str(fetch(f"{api}/graphql", query)[1]), 120)
            assert eventually((server_folder / "heads" / "checkpoint").exists, 60)
        assert run("projections", "rebuild", "patient", settings=settings).returncode == 0
        assert run("verify", settings=settings).returncode == 0
