"""The logins of a deployment, and what the database says to what they try."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import psycopg2
from psycopg2 import sql

from projections.custom.access import begin_custom, bind_custom, open_custom
from projections.custom.source_file import load_custom
from projections.runner import Runner

LOGINS = {
    "ingester": "ingest",
    "operator": "projector",
    "asker": "reader",
    "watcher": "guard",
    "ada": "analyst",
    "ben": "analyst",
}


OWN = "audit_trail_own_mine"


EVERYBODY = (*LOGINS, OWN)


ANALYSTS = ("ada", "ben", OWN)


DENIED = "42501"


"""insufficient_privilege; also the refusal to act on what belongs to another role."""


NO_NAME = "42602"


TAKEN = "42710"


def project_custom(url: str, file: Path) -> None:
    projector = load_custom(file)
    begin_custom(url, projector)
    bind_custom(url, projector)
    with closing(open_custom(url, projector.name, 4)) as database:
        Runner(database, [projector]).catch_up()


def as_login(url: str, login: str) -> str:
    return psycopg2.extensions.make_dsn(url, user=login, password="p")


def run(url: str, statement: str) -> None:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)


def attempt(urls: dict[str, str], who: str, *statements: str) -> str:
    """The SQLSTATE of the last statement; empty when it was let through. Nothing is kept."""
    login, role = ("ada", who) if who.startswith("audit_trail_") else (who, "")
    with closing(psycopg2.connect(urls[login])) as connection, connection.cursor() as cursor:
        connection.autocommit = statements[-1].startswith("ALTER SYSTEM")  # is for no transaction
        if role:
            cursor.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        for statement in statements[:-1]:
            cursor.execute(statement)
        try:
            cursor.execute(statements[-1])
        except psycopg2.Error as exc:
            return exc.pgcode or "lost"
        return ""
