"""Numbered SQL migrations and their runner.

A migration is a file ``NNNN_name.sql`` beside this module. Migrations run once, each in its own transaction, in the
order of their numbers. The SHA-256 of each applied file is stored, so that a later change of the file is detected.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from typing import NamedTuple

from domain.errors import ConfigurationError, LockedError, UnavailableError
from event_store.database import Connection, Database, only
from event_store.roles import check_roles
from event_store.server_log import correct
from event_store.statement_errors import StatementError, statement_errors
from event_store.statements import load

_SQL = load("event_store", "migrations.sql")
_TRIES = 5
"""How often a migration waits for the locks of other sessions on the tables that it changes."""
_PAUSE_SECONDS = 1.0

_EARLIER_TEXTS = {
    "0001_event_store": "c260d2308249a6d85a04cac2326d77a1a6debb3c4466f40643118d8c9d95d7e6",
    "0002_signed_heads": "5f80b4aa681fca875d9f9cb53eeca530018ff75d3070c0e62631c01f80eaaf6a",
    "0004_own_projections": "b21efcb258321743c42237e591020e2e16fac5a44ae0a3d2297629c79da46fa2",
    "0008_custom_projection_rights": "ddb7ddec31b201c9a80c212b842e673be1d328cc04cf5cb908189f357b80562c",
}
"""The SHA-256 of an earlier text of a migration that gives the same schema: it needed a login with CREATEROLE."""

_MADE_MEANWHILE = {"UniqueViolation", "DuplicateSchema", "DuplicateTable"}
_RAISED = "P0001"
"""SQLSTATE of RAISE EXCEPTION, with which a migration refuses to run."""


class _LockedError(Exception):
    """Another session holds a lock that a migration needs."""


class Migration(NamedTuple):
    """One migration file. `name` is the file name without ``.sql``."""

    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """The hex digest of the file's text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> list[Migration]:
    """All migrations, in order."""
    files = (file for file in resources.files(__name__).iterdir() if file.name.endswith(".sql"))
    return sorted(Migration(file.name.removesuffix(".sql"), file.read_text("utf-8")) for file in files)


def migrate(url: str) -> list[str]:
    """Bring the database at `url` to the newest schema. Returns the names of the migrations applied now.

    The login must own the database, and be allowed to create the roles or to use them. Raises `ConfigurationError` when
    it is not, when an applied file was changed, when the database is newer than this program, or when a migration needs
    an operator's decision. Raises `UnavailableError`, with the sessions that hold the locks, when other transactions
    block a migration.
    """
    database = Database(url, role=None, size=1)
    try:
        _create_migration_table(database)
        with database.transaction() as connection:
            if pending(connection):
                check_roles(connection)
        applied = [each.name for each in migrations() if _apply(database, each)]
        with _exclusive(database) as connection:
            _run(connection, _SQL["database_rights"])
            correct(connection)
        return applied
    finally:
        database.close()


def pending(connection: Connection) -> list[str]:
    """The names of the migrations that the database lacks."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["has_bookkeeping"])
        if not only(cursor):
            return [each.name for each in migrations()]
    applied = _applied(connection)
    return [each.name for each in migrations() if each.name not in applied]


def _create_migration_table(database: Database) -> None:
    """Create the table of migrations. If another process creates it at the same time, the next attempt finds it."""
    while True:
        try:
            with database.transaction() as connection:
                _run(connection, _SQL["bookkeeping"])
        except StatementError as exc:
            if exc.name not in _MADE_MEANWHILE:
                raise
            continue
        return


@contextmanager
def _exclusive(database: Database) -> Iterator[Connection]:
    """A transaction that excludes other migrating processes."""
    with database.transaction() as connection:
        _run(connection, _SQL["one_at_a_time"])
        _run(connection, _SQL["patience"])
        yield connection


def _apply(database: Database, migration: Migration) -> bool:
    for _ in range(_TRIES):
        try:
            return _try_to_apply(database, migration)
        except _LockedError:
            time.sleep(_PAUSE_SECONDS)
    raise UnavailableError(
        f"migration {migration.name} needs tables that other sessions have locked"
        f" ({_sessions(database)}): end their transactions, then migrate again"
    )


def _sessions(database: Database) -> str:
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(_SQL["open_transactions"])
        found = [f"login {login}, process {pid} of the server" for login, pid in cursor.fetchall()]
    return "; ".join(found) or "they have ended by now"


def _try_to_apply(database: Database, migration: Migration) -> bool:
    with _exclusive(database) as connection:
        applied = _applied(connection)
        unknown = sorted(applied.keys() - {each.name for each in migrations()})
        if unknown:
            raise ConfigurationError(
                f"the database has migration {unknown[0]}, which this program does not know: use the newer program"
            )
        if migration.name not in applied:
            try:
                with statement_errors():
                    _run(connection, migration.sql)
            except LockedError as exc:
                raise _LockedError from exc
            except StatementError as exc:
                if exc.code != _RAISED:
                    raise
                raise ConfigurationError(f"migration {migration.name}: {exc.server_message}") from exc
            _run(connection, _SQL["record"], {"name": migration.name, "sha256": migration.sha256})
            return True
        if applied[migration.name] not in (migration.sha256, _EARLIER_TEXTS.get(migration.name)):
            raise ConfigurationError(
                f"migration {migration.name} was changed after it was applied: restore the file"
            )
        return False


def _applied(connection: Connection) -> dict[str, str]:
    with connection.cursor() as cursor:
        cursor.execute(_SQL["applied"])
        return dict(cursor.fetchall())


def _run(connection: Connection, sql: str, parameters: dict[str, object] | None = None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
