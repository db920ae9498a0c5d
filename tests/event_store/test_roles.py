"""Migrating as an owner who may not create roles, as on a managed PostgreSQL, after an administrator created them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import make_dsn

from audit_trail.embedded.postgres import EmbeddedPostgres
from domain.errors import ConfigurationError
from event_store.migrations import migrate, migrations
from event_store.roles import roles_sql
from tests.audit_trail.programs import run
from tests.servers import FAST, postgres_major, postgres_server

NAMES = [each.name for each in migrations()]


@pytest.fixture
def server(server_folder: Path) -> Iterator[EmbeddedPostgres]:
    """A server without the roles; the administrator may create roles and is no superuser."""
    with postgres_server(server_folder / "postgres", settings=FAST) as server:
        execute(server.url, "CREATE ROLE administrator LOGIN CREATEROLE")
        yield server


def execute(url: str, statement: str) -> None:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)


def owned(server: EmbeddedPostgres, owner: str, rights: str = "NOCREATEROLE") -> str:
    """The URL of a new database of a new owner, as that owner."""
    execute(server.url, f'CREATE ROLE "{owner}" LOGIN {rights}')
    execute(server.url, f'CREATE DATABASE "{owner}" OWNER "{owner}"')
    return make_dsn(server.url_for(owner), user=owner)


def as_administrator(server: EmbeddedPostgres) -> str:
    return make_dsn(server.url, user="administrator")


def test_an_owner_without_createrole_migrates_after_an_administrator_created_the_roles(
    server: EmbeddedPostgres,
) -> None:
    url = owned(server, "trail_owner")
    with pytest.raises(ConfigurationError, match=r"roles audit_trail_analyst, .*migrate --print-roles"):
        migrate(url)
    printed = run("migrate", "--print-roles")
    assert printed.returncode == 0, printed.stderr
    for _ in range(2):  # safe to run again
        execute(as_administrator(server), printed.stdout)
    assert migrate(url) == NAMES
    assert migrate(url) == []


def test_each_owner_of_a_database_needs_the_roles_from_an_administrator(server: EmbeddedPostgres) -> None:
    assert migrate(owned(server, "first", "CREATEROLE")) == NAMES
    # Before PostgreSQL 16, CREATEROLE is a right on all roles.
    for rights in ("CREATEROLE", "NOCREATEROLE") if postgres_major() >= 16 else ("NOCREATEROLE",):
        owner = f"o'hara {rights.lower()}"
        url = owned(server, owner, rights)
        with pytest.raises(
            ConfigurationError, match="audit_trail_batch, audit_trail_custom_owner: let an admin"
        ):
            migrate(url)
        execute(server.url, roles_sql(owner))
        assert migrate(url) == NAMES


def test_a_database_with_an_earlier_text_of_a_migration_is_up_to_date(migrated_url: str) -> None:
    execute(
        migrated_url,
        "UPDATE audit_trail.migration"
        " SET sha256 = 'c260d2308249a6d85a04cac2326d77a1a6debb3c4466f40643118d8c9d95d7e6'"
        " WHERE name = '0001_event_store'",
    )
    assert migrate(migrated_url) == []
