"""The logins of docker/roles.sql, on a new PostgreSQL: each part does its work, and no more."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2 import errors

from audit_trail.embedded.broker import Broker
from audit_trail.embedded.postgres import EmbeddedPostgres
from event_store.roles import roles_sql
from tests.audit_trail.programs import eventually, fetch, run, running
from tests.servers import postgres_server

SQL = (Path(__file__).parents[2] / "docker" / "roles.sql").read_text()
ROLES = {
    "ingest": "audit_trail_ingest",
    "project": "audit_trail_projector",
    "serve": "audit_trail_reader",
    "guard": "audit_trail_guard",
    "watch": "audit_trail_watcher",
    "forward": "audit_trail_forwarder",
}
PARTS = tuple(ROLES)
LIFE = {
    "ingest": ("ingest_started", "ingest_stopped"),
    "project": ("runner_started", "runner_stopped"),
    "serve": (" listening ", "stopped_listening"),
    "guard": ("guard_started", "guard_stopped"),
    "watch": ("watcher_started", "watcher_stopped"),
    "forward": ("forwarder_started", "forwarder_stopped"),
}
EVENT = {
    "event_id": "0193a2a5-7c1e-7b44-9a53-0c5f6f0f1a0f",
    "type": "record.read",
    "occurred_at": "2026-03-01T08:15:30Z",
    "source": {"service": "patient-service"},
    "actor": {"id": "d.example"},
    "patients": [{"id": "17"}],
    "resources": [{"type": "Observation", "id": "o-3"}],
}


@pytest.fixture
def server(server_folder: Path) -> Iterator[EmbeddedPostgres]:
    with postgres_server(server_folder / "postgres", settings={"fsync": "off"}) as server:
        yield server


def url_of(server: EmbeddedPostgres, login: str) -> str:
    return server.url_for("audit_trail").replace("postgres@", f"trail_{login}@")


def make_roles(server: EmbeddedPostgres) -> None:
    """As psql does it, which writes a variable as :'name'."""
    names = re.findall(r":'(\w+)'", SQL)
    statement = re.sub(r":'(\w+)'", r"%(\1)s", SQL.replace("%I", "%%I"))
    with (
        closing(psycopg2.connect(server.url_for("audit_trail"))) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(statement, {name: f"{name} it's" for name in names})


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_each_part_works_with_its_own_login_and_the_owner_is_no_superuser(
    server: EmbeddedPostgres, broker: Broker, topic: str, tmp_path: Path
) -> None:
    for _ in range(2):  # safe to run again
        make_roles(server)
    described = rows(
        server.url_for("audit_trail"),
        "SELECT rolname, rolsuper OR rolreplication OR rolbypassrls OR rolcreatedb, rolcreaterole,"
        " (SELECT passwd LIKE 'SCRAM-SHA-256$%' FROM pg_shadow WHERE usename = rolname)"
        " FROM pg_roles WHERE rolname LIKE 'trail%' ORDER BY rolname",
    )
    logins = ("forward", "guard", "ingest", "owner", "project", "serve", "watch")
    assert described == [(f"trail_{each}", False, each == "owner", True) for each in logins]

    migrated = run("migrate", settings={"database_url": url_of(server, "owner")})
    assert migrated.returncode == 0, migrated.stderr
    again = run("migrate", settings={"database_url": url_of(server, "owner")})
    assert again.stdout == "the database is up to date\n", again.stderr

    port = free_port()
    followers = tmp_path / "forwarding.toml"
    followers.write_text("", encoding="utf-8")
    common = {
        "forwarding_file": str(followers),
        "kafka_bootstrap_servers": broker.bootstrap_servers,
        "kafka_topics": topic,
        "kafka_assignment": "static",
        "kafka_create_topics": "true",
        "heads_topic": f"{topic}-heads",
        "http_port": str(port),
        "heads_folder": str(tmp_path / "heads"),
        "watch_file": str(tmp_path / "watch.yaml"),
    }
    targets = (
        f"targets: [{{name: postgresql, postgresql: {{}}}}, {{name: kafka, kafka: {{topics: [{topic}]}}}}]"
    )
    (tmp_path / "watch.yaml").write_text(targets, encoding="utf-8")
    settings = {
        part: common | {"database_url": url_of(server, part), "metrics_port": str(free_port())}
        for part in PARTS
    }
    folders = {part: tmp_path / part for part in PARTS}
    for folder in folders.values():
        folder.mkdir()
    with (
        running(folders["ingest"], "ingest", settings=settings["ingest"]),
        running(folders["project"], "project", settings=settings["project"]),
        running(folders["serve"], "serve", settings=settings["serve"]),
        running(folders["guard"], "guard", settings=settings["guard"]),
        running(folders["watch"], "watch", settings=settings["watch"]),
        running(folders["forward"], "forward run", settings=settings["forward"]),
    ):
        url = f"http://127.0.0.1:{port}"
        assert eventually(lambda: fetch(f"{url}/readyz")[0] == 200, 120), logs(folders)
        status, answer = fetch(f"{url}/v1/events", EVENT)
        assert status in {200, 201, 202}, answer
        query = {"query": '{ events(first: 5, filter: {patient: "17"}) { nodes { eventId } } }'}
        assert eventually(lambda: "0193a2a5" in str(fetch(f"{url}/graphql", query)[1]), 120), logs(folders)
        assert eventually((tmp_path / "heads" / "checkpoint").exists, 120), logs(folders)
        for part in PARTS:
            healthy = eventually(partial(is_healthy, part, settings[part]), 60)
            assert healthy, run("health", part, settings=settings[part]).stderr
    for part, (started, ended) in LIFE.items():  # each part says once when it starts and when it ends
        log = (folders[part] / f"{part}.log").read_text()
        assert (log.count(started), log.count(ended)) == (1, 1), log
    assert (folders["project"] / "project.log").read_text().count("caught_up") == 1
    for part in PARTS:
        stopped = run("health", part, settings=settings[part])
        assert (stopped.returncode, "does not answer" in stopped.stderr) == (75, True), stopped.stderr

    for part in PARTS:  # no login has the rights of another part's role, or may change an event
        others = [other for other in PARTS if other != part]
        for other in others:
            with pytest.raises(errors.InsufficientPrivilege):
                rows(url_of(server, part), f"SET ROLE {ROLES[other]}")
        with pytest.raises(errors.InsufficientPrivilege):
            rows(url_of(server, part), "DELETE FROM audit_trail.event RETURNING position")


@pytest.mark.parametrize("part", ["ingest", "project", "guard", "watch", "forward"])
def test_health_does_not_answer_for_a_part_that_it_can_not_ask(part: str) -> None:
    health = run("health", part, settings={"database_url": "postgresql:///nowhere"})
    assert (health.returncode, health.stdout) == (2, "")
    assert f"whether {part} is ready: set AUDIT_TRAIL_METRICS_PORT" in health.stderr


def is_healthy(part: str, settings: dict[str, str]) -> bool:
    health = run("health", part, settings=settings)
    return (health.returncode, health.stdout) == (0, "ok\n")


def logs(folders: dict[str, Path]) -> str:
    return "\n".join(
        f"{part}: {(folder / f'{part}.log').read_text()[-2000:]}" for part, folder in folders.items()
    )


def test_the_file_contains_what_migrate_prints_for_an_administrator() -> None:
    assert roles_sql() in SQL
