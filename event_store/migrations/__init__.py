"""Numbered SQL migrations and their runner.

A migration is a file ``NNNN_name.sql`` beside this module. It runs once, in its own transaction, in order of number;
its SHA-256 is kept, so that a file changed after the fact is noticed and never half-believed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from typing import NamedTuple

from domain.errors import ConfigurationError
from event_store.database import Connection, Database, only

_LOCK = 0x61756469
"""Advisory lock key ("audi"): two processes that start together migrate one after the other."""

_BOOKKEEPING = """
CREATE SCHEMA IF NOT EXISTS audit_trail;
CREATE TABLE IF NOT EXISTS audit_trail.migration (
    name text PRIMARY KEY,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
"""

_GRANT = """
DO $$ BEGIN
    EXECUTE format('GRANT CREATE ON DATABASE %I TO audit_trail_projector', current_database());
    -- PostgreSQL lets everybody make temporary tables, and functions in their schema. Who reads alone needs none.
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format(
        'GRANT TEMPORARY ON DATABASE %I TO audit_trail_projector, audit_trail_analyst', current_database()
    );
END $$;
"""
"""Each time, since neither a dump nor a template carries the rights on the database itself."""


class Migration(NamedTuple):
    """One file: `name` is the file's name without ``.sql``."""

    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """Hex digest of the file's text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> list[Migration]:
    """All migrations, in order."""
    files = (file for file in resources.files(__name__).iterdir() if file.name.endswith(".sql"))
    return sorted(Migration(file.name.removesuffix(".sql"), file.read_text("utf-8")) for file in files)


def migrate(url: str) -> list[str]:
    """Bring the database at `url` to the newest schema; returns the names applied now.

    The login needs to own the database and may create roles. Raises `ConfigurationError` when an applied file was
    changed since, or when the database is newer than this program.
    """
    database = Database(url, role=None, size=1)
    try:
        with _alone(database) as connection:
            _run(connection, _BOOKKEEPING)
        applied = [each.name for each in migrations() if _apply(database, each)]
        with _alone(database) as connection:
            _run(connection, _GRANT)
        return applied
    finally:
        database.close()


def pending(connection: Connection) -> list[str]:
    """Names of the migrations that the database does not have yet."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('audit_trail.migration') IS NOT NULL")
        if not only(cursor):
            return [each.name for each in migrations()]
    applied = _applied(connection)
    return [each.name for each in migrations() if each.name not in applied]


@contextmanager
def _alone(database: Database) -> Iterator[Connection]:
    """A transaction that waits for those of other processes that migrate."""
    with database.transaction() as connection:
        _run(connection, "SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        yield connection


def _apply(database: Database, migration: Migration) -> bool:
    with _alone(database) as connection:
        applied = _applied(connection)
        unknown = sorted(applied.keys() - {each.name for each in migrations()})
        if unknown:
            raise ConfigurationError(
                f"the database has migration {unknown[0]}, which this program does not know: use the newer program"
            )
        if migration.name not in applied:
            _run(connection, migration.sql)
            _run(
                connection,
                "INSERT INTO audit_trail.migration (name, sha256) VALUES (%s, %s)",
                (migration.name, migration.sha256),
            )
            return True
        if applied[migration.name] != migration.sha256:
            raise ConfigurationError(
                f"migration {migration.name} was changed after it was applied: restore the file"
            )
        return False


def _applied(connection: Connection) -> dict[str, str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, sha256 FROM audit_trail.migration")
        return dict(cursor.fetchall())


def _run(connection: Connection, sql: str, parameters: tuple[object, ...] | None = None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
