"""Migrations run once, in order, and notice what does not belong."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from uuid import uuid4

import psycopg2
import pytest

from domain.errors import ConfigurationError, UnavailableError
from event_store.migrations import Migration, migrate, migrations


def execute(url: str, statement: str) -> None:
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)
    connection.close()


def test_a_new_database_gets_all_and_a_migrated_one_none(database_url: str) -> None:
    assert migrate(database_url) == [each.name for each in migrations()]
    assert migrate(database_url) == []


def test_two_at_the_same_time_apply_each_migration_once(database_url: str) -> None:
    applied: list[list[str]] = []
    threads = [threading.Thread(target=lambda: applied.append(migrate(database_url))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(name for names in applied for name in names) == [each.name for each in migrations()]
    assert len(applied) == 3


def test_a_file_that_was_changed_after_it_was_applied_is_refused(migrated_url: str) -> None:
    execute(migrated_url, "UPDATE audit_trail.migration SET sha256 = 'other'")
    with pytest.raises(ConfigurationError, match="changed after it was applied"):
        migrate(migrated_url)


def test_a_database_of_a_newer_program_is_refused(migrated_url: str) -> None:
    execute(migrated_url, "INSERT INTO audit_trail.migration (name, sha256) VALUES ('9999_later', 'x')")
    with pytest.raises(ConfigurationError, match="9999_later"):
        migrate(migrated_url)


def test_the_rights_on_the_database_come_back_after_a_restore(migrated_url: str) -> None:
    name = migrated_url.partition("?")[0].rpartition("/")[2]
    execute(migrated_url, f'REVOKE CREATE ON DATABASE "{name}" FROM audit_trail_projector')
    migrate(migrated_url)
    execute(migrated_url, "SET ROLE audit_trail_projector; CREATE SCHEMA again")


@pytest.fixture
def analyst_url(migrated_url: str) -> Iterator[str]:
    """The same database with the login of an analyst."""
    url, name = migrated_url, f"analyst_{uuid4().hex[:8]}"
    execute(url, f"CREATE ROLE {name} LOGIN PASSWORD 'p' IN ROLE audit_trail_analyst")
    yield psycopg2.extensions.make_dsn(url, user=name, password="p")
    execute(url, f"DROP ROLE {name}")


def test_no_lock_that_an_analyst_can_take_delays_a_migrate(migrated_url: str, analyst_url: str) -> None:
    with closing(psycopg2.connect(analyst_url)) as analyst, analyst.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(key) FROM unnest(ARRAY[1635083369, 7021799, 7021801]) AS key")
        cursor.execute("SELECT count(*) FROM audit_trail.migration")
        assert migrate(migrated_url) == []


def test_a_migration_that_waits_for_a_session_names_it(
    migrated_url: str, analyst_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("event_store.migrations._TRIES", 1)
    last = migrations()[-1].name
    execute(migrated_url, f"DELETE FROM audit_trail.migration WHERE name = '{last}'")
    later = [
        *migrations()[:-1],
        Migration(last, "ALTER TABLE audit_trail.event ADD COLUMN later integer"),
    ]
    monkeypatch.setattr("event_store.migrations.migrations", lambda: later)
    with closing(psycopg2.connect(analyst_url)) as analyst, analyst.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM audit_trail.event")
        with pytest.raises(
            UnavailableError, match=rf"login analyst_\w+, process {analyst.get_backend_pid()} "
        ):
            migrate(migrated_url)
        analyst.rollback()
        assert migrate(migrated_url) == [last]


def test_nobody_who_needs_none_has_temporary_tables_large_objects_or_the_schema_public(
    migrated_url: str,
) -> None:
    execute(
        migrated_url,
        "GRANT CREATE ON SCHEMA public TO PUBLIC; GRANT EXECUTE ON FUNCTION lo_create(oid) TO PUBLIC",
    )
    migrate(migrated_url)
    with closing(psycopg2.connect(migrated_url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT rolname FROM pg_roles
             WHERE rolname ~
                   '^audit_trail_(ingest|projector|reader|guard|watcher|forwarder|context|analyst|batch|custom_owner)$'
               AND (has_database_privilege(rolname, current_database(), 'TEMPORARY')
                    OR has_schema_privilege(rolname, 'public', 'CREATE')
                    OR has_function_privilege(rolname, 'lo_create(oid)', 'EXECUTE'))
             ORDER BY rolname
            """
        )
        assert cursor.fetchall() == [("audit_trail_custom_owner",), ("audit_trail_projector",)]
