"""An empty database on a server that Audit Trail runs itself."""

from __future__ import annotations

from contextlib import closing

import psycopg2
from psycopg2 import sql

_CONNECT_SECONDS = 5


def refusal(url: str) -> Exception | None:
    """Why the server takes no connection, or None when it does."""
    try:
        psycopg2.connect(url, connect_timeout=_CONNECT_SECONDS).close()
    except psycopg2.OperationalError as exc:
        return exc
    return None


def create_database(url: str, name: str) -> None:
    """Create the database `name` when there is none. `url` is that of another database of the same server."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
            if cursor.fetchone() is None:
                cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
