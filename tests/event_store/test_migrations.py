"""Migrations run once, in order, and notice what does not belong."""

from __future__ import annotations

import threading

import psycopg2
import pytest

from domain.errors import ConfigurationError
from event_store.migrations import migrate, migrations


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
