"""One login uses up what all sessions of a PostgreSQL share: ingest goes on, or waits and says for what."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import make_dsn

from audit_trail.embedded.postgres import EmbeddedPostgres
from domain.errors import UnavailableError
from event_store.database import INGEST, Connection, Database, only
from event_store.migrations import migrate
from event_store.notification import Announcer
from ingest.settings import IngestSettings
from tests.servers import FAST, postgres_server

SMALL = {"max_notify_queue_pages": "64", "max_locks_per_transaction": "10", "max_connections": "40"}


@pytest.fixture(scope="module")
def server(session_folder: Path) -> Iterator[EmbeddedPostgres]:
    """A server with room for few notifications and locks."""
    with postgres_server(session_folder / "exhausted", settings=FAST | SMALL) as server:
        yield server


@pytest.fixture
def database(server: EmbeddedPostgres) -> Iterator[Database]:
    """A trail of its own; ingest's connections."""
    with closing(psycopg2.connect(server.url_for("postgres"))) as admin:
        admin.autocommit = True
        with admin.cursor() as cursor:
            cursor.execute("DROP DATABASE IF EXISTS trail WITH (FORCE)")
            cursor.execute("CREATE DATABASE trail")
            cursor.execute("DROP ROLE IF EXISTS ada")
            migrate(server.url_for("trail"))
            cursor.execute("CREATE ROLE ada LOGIN PASSWORD 'p' IN ROLE audit_trail_analyst")
    with closing(Database(server.url_for("trail"), INGEST)) as database:
        yield database


@pytest.fixture
def analyst(server: EmbeddedPostgres, database: Database) -> Iterator[Connection]:  # noqa: ARG001 - after it
    """The session of an analyst, in an open transaction."""
    with closing(psycopg2.connect(make_dsn(server.url_for("trail"), user="ada", password="p"))) as connection:
        yield connection


def fill_notifications(listening: Connection, url: str) -> None:
    """One session listens in an open transaction, and another one of the login notifies until there is no room."""
    with listening.cursor() as cursor:
        cursor.execute("LISTEN nothing")
        listening.commit()
        cursor.execute("SELECT 1")
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        for length, count in (
            (7900, 8),
            (7900, 1),
            (1, 1),
        ):  # the room that is left takes no short one either
            full = False
            while not full:
                cursor.execute(
                    "SELECT pg_notify('other', repeat('x', %s) || n) FROM generate_series(1, %s) AS n",
                    (length, count),
                )
                try:
                    connection.commit()
                except psycopg2.errors.ProgramLimitExceeded:
                    full = True


def test_a_full_queue_of_notifications_stops_no_append(
    server: EmbeddedPostgres,
    database: Database,
    analyst: Connection,
    settings: IngestSettings,
    publish: Callable[..., None],
    message: Callable[..., bytes],
    running: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    fill_notifications(analyst, make_dsn(server.url_for("trail"), user="ada", password="p"))
    publish([message(), message()])
    with running(settings, database) as ingest:
        ingest.until(lambda: log_size(database) == 2)
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM audit_trail.dead_letter")
        assert only(cursor) == 0
    assert "PostgreSQL's notification queue is full" in caplog.text
    analyst.rollback()
    with analyst.cursor() as cursor:
        cursor.execute("UNLISTEN *")
    analyst.commit()
    assert Announcer(database).announce(2)


def test_sessions_without_a_lock_left_wait_for_one_and_say_so(
    database: Database, analyst: Connection
) -> None:
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")  # a connection that is open already
    with analyst.cursor() as cursor, pytest.raises(psycopg2.errors.OutOfMemory):
        cursor.execute("SELECT count(pg_advisory_lock(n)) FROM generate_series(1, 1000000) AS n")
    with (
        pytest.raises(UnavailableError, match=r"the database refuses work: .*\(see pg_locks"),
        database.transaction() as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT count(*) FROM audit_trail.event INNER JOIN audit_trail.tile ON true")
    with analyst.cursor() as cursor:
        analyst.rollback()
        cursor.execute("SELECT pg_advisory_unlock_all()")
    assert log_size(database) == 0


def test_a_server_without_a_connection_left_is_waited_for(
    server: EmbeddedPostgres,
    analyst: Connection,
) -> None:
    assert not analyst.closed
    with closing(psycopg2.connect(server.url_for("postgres"))) as admin, admin.cursor() as cursor:
        cursor.execute("ALTER ROLE ada CONNECTION LIMIT 1")
        admin.commit()
        url = make_dsn(server.url_for("trail"), user="ada", password="p")
        with (
            pytest.raises(UnavailableError, match="the database refuses work: it has no connection left"),
            closing(Database(url, None)) as theirs,
            theirs.transaction(),
        ):
            pass


def log_size(database: Database) -> int:
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT size FROM audit_trail.log_state")
        return int(only(cursor))
