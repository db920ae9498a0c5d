"""The roles of PostgreSQL that the schema needs: SQL that creates them, and whether a login can use them."""

from __future__ import annotations

from importlib import resources

from domain.errors import ConfigurationError
from event_store.database import Connection
from event_store.statements import load

OWNER = "trail_owner"
"""The owner of the database in examples and in docker/roles.sql."""

_SQL = load("event_store", "role_checks.sql")


def roles_sql(owner: str = OWNER) -> str:
    """SQL for a superuser, or for a login with CREATEROLE: it creates the roles and lets the login `owner` migrate."""
    text = resources.files("event_store").joinpath("roles.sql").read_text("utf-8")
    return text.replace(f"'{OWNER}'", "'" + owner.replace("'", "''") + "'")


def check_roles(connection: Connection) -> None:
    """Raise `ConfigurationError` when this login can neither use the roles nor create them."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["unusable_roles"])
        unusable = [name for (name,) in cursor.fetchall()]
    if unusable:
        raise ConfigurationError(
            f"this login can neither create nor use the roles {', '.join(unusable)}: let an administrator of PostgreSQL"
            " run the SQL that `audit-trail migrate --print-roles` prints"
        )
