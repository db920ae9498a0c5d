"""PostgreSQL's own log holds no personal data, whatever goes wrong with our statements."""

from __future__ import annotations

import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import psycopg2
import pytest
from psycopg2.extensions import make_dsn

from audit_trail.embedded.postgres import EmbeddedPostgres
from domain.body import BodyFormat
from domain.errors import AuditTrailError, Reason
from domain.validation import encode_event
from event_store.append import NewEvent, append
from event_store.database import READER, Database
from event_store.dead_letters import NewDeadLetter
from event_store.migrations import migrate
from event_store.server_log import logged_values
from event_store.statement_errors import StatementError
from projections.registry import built_in
from projections.runner import Runner
from queries.filters.event_filter import EventFilter, PageRequest
from queries.read_models import ReadModels
from queries.search.prepared import prepare
from tests.audit_trail.programs import run
from tests.servers import FAST, folder_for_servers
from tests.trail import STREAM, Trail, an_event

LOUD = {
    "log_min_error_statement": "error",
    "log_error_verbosity": "default",
    "log_statement": "all",
    "log_min_duration_statement": "0",
    "log_transaction_sample_rate": "1",
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
}
"""What an administrator who looks for a fault sets, beside PostgreSQL's defaults."""
SECRETS = (b"patient-Zx81", b"key-of-Zx82", b"cause-Zx83")
EVENT = an_event(patients=[{"id": "patient-Zx81"}], reason="cause-Zx83")


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    with (
        folder_for_servers() as folder,
        EmbeddedPostgres(folder / "postgres", settings=FAST | LOUD) as server,
    ):
        yield server


def execute(url: str, statement: str) -> None:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)


def forms(secret: bytes) -> set[bytes]:
    """The secret as it may stand in a log: plain, in hex, or in base64 at any offset."""
    encoded = {b64encode(bytes(shift) + secret)[4 if shift else 0 : -4] for shift in range(3)}
    return {secret, secret.hex().encode(), secret.hex().upper().encode(), *encoded}


def found_in(log: bytes) -> set[bytes]:
    return {form for secret in SECRETS for form in forms(secret) if form in log}


@contextmanager
def refused(url: str, table: str) -> Iterator[None]:
    """Meanwhile a trigger refuses each row of `table`."""
    execute(
        url,
        "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$;"
        f"CREATE TRIGGER refuse BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION public.refuse()",
    )
    yield
    execute(url, "DROP FUNCTION public.refuse CASCADE")


def letter() -> NewDeadLetter:
    return NewDeadLetter(
        STREAM, "t", 0, 7, None, b"key-of-Zx82", encode_event(EVENT), [("h", b"cause-Zx83")],
        Reason.INVALID_FIELD, "type", "wrong",
    )  # fmt: skip


def provoke(url: str) -> None:
    """Errors in statements that carry messages, rows or conditions."""
    with closing(Trail(url)) as trail:
        trail.append(EVENT)
        for table in ("audit_trail.event", "audit_trail.dead_letter"):
            with refused(url, table), pytest.raises(StatementError), trail.ingest.transaction() as connection:
                append(connection, [new_event()], trail.signer, dead_letters=[letter()])
        trail.append(EVENT)  # a known id
        trail.project()
        [(rows,)] = trail.rows(
            "SELECT min(to_regclass(format('%s', oid::regclass))::text) FROM pg_class"
            " WHERE relname LIKE 'patient_access%' AND relkind = 'r'"
        )
        with refused(url, rows):
            trail.append(an_event(patients=[{"id": "patient-Zx81"}], reason="cause-Zx83"))
            with suppress(AuditTrailError, StatementError):
                Runner(trail.projector, built_in(), batch=10).catch_up()
        slow_and_ended_queries(url, rows)


def new_event() -> NewEvent:
    event = an_event(patients=[{"id": "patient-Zx81"}], reason="cause-Zx83")
    return NewEvent(
        event.event_id, STREAM, 99, event.type, event.occurred_at, BodyFormat.NATIVE, encode_event(event)
    )


def slow_and_ended_queries(url: str, table: str) -> None:
    """A query about a patient that exceeds its time-out, and one whose session an administrator ends."""
    with closing(psycopg2.connect(url)) as blocking, blocking.cursor() as cursor:
        cursor.execute(
            "SELECT string_agg(oid::regclass::text, ', ') FROM pg_class"
            " WHERE relkind = 'r' AND relnamespace = %s::regnamespace",
            (table.partition(".")[0],),
        )
        [(tables,)] = cursor.fetchall()
        cursor.execute(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE")
        for timeout in (200, 0):
            with closing(Database(url, READER, statement_timeout_ms=timeout)) as database:
                asking = threading.Thread(target=ask, args=(database,))
                asking.start()
                if not timeout:
                    end_waiting(url)
                asking.join(30)
                assert not asking.is_alive()
        blocking.rollback()


def ask(database: Database) -> None:
    with pytest.raises(AuditTrailError):
        ReadModels(database).events(prepare(EventFilter.of(patient=["patient-Zx81"])), PageRequest(first=10))


def end_waiting(url: str) -> None:
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        for _ in range(300):
            cursor.execute(ended)
            if cursor.rowcount:
                return
            time.sleep(0.1)
    pytest.fail("no query waits")


def test_after_migrate_errors_time_outs_and_slow_statements_leave_no_value_in_the_servers_log(
    server: EmbeddedPostgres,
) -> None:
    migrate(server.url)
    begun = server.log.stat().st_size
    provoke(server.url)
    log = server.log.read_bytes()[begun:]
    assert log.count(b"ERROR:") >= 4, log
    assert b"statement timeout" in log
    assert b"terminating connection" in log
    assert found_in(log) == set()


def test_what_an_owner_may_not_set_is_named_by_migrate_and_by_each_part(
    server: EmbeddedPostgres,
) -> None:
    execute(server.url, "CREATE ROLE careful LOGIN CREATEROLE")
    with closing(psycopg2.connect(server.url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE careful OWNER careful")
    url = make_dsn(server.url_for("careful"), user="careful")
    execute(server.url, "GRANT SET ON PARAMETER log_statement TO careful")
    # The roles are the server's: another test may have made them.
    execute(
        server.url,
        r"DO $$DECLARE name text; BEGIN FOR name IN SELECT rolname FROM pg_roles WHERE rolname LIKE 'audit\_trail\_%'"
        r" LOOP EXECUTE format('GRANT %I TO careful WITH ADMIN OPTION', name); END LOOP; END$$",
    )
    said = run("migrate", settings={"database_url": url})
    assert said.returncode == 0, said.stderr
    warnings = [line for line in said.stdout.splitlines() if line.startswith("warning: ")]
    assert "log_statement" not in said.stdout
    assert (
        "warning: PostgreSQL may write personal data to its log: log_min_error_statement is error; let a superuser"
        ' run: ALTER DATABASE "careful" SET "log_min_error_statement" = \'panic\''
    ) in warnings
    execute(server.url, "GRANT audit_trail_guard TO careful WITH SET TRUE")
    wrong = {"kafka_security_protocol": "SSL", "kafka_ssl_cafile": "/missing", "database_url": url}
    started = run("guard", settings=wrong | {"kafka_bootstrap_servers": "127.0.0.1:1"})
    assert started.stdout.count("server_logs_values") + started.stderr.count("server_logs_values") == len(
        warnings
    )
    for line in warnings:
        execute(server.url_for("careful"), line.partition(" run: ")[2])
    with closing(Database(url, None)) as database, database.transaction() as connection:
        assert logged_values(connection) == []
