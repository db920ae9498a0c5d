"""`audit-trail health`: the health check of a part, for supervisors."""

from __future__ import annotations

import urllib.error
import urllib.request
from contextlib import closing
from typing import Annotated, Literal

import typer

from audit_trail import components
from audit_trail.settings import load
from domain.errors import UnavailableError

_SECONDS = 5.0


def health(
    part: Annotated[
        Literal["ingest", "project", "serve", "guard"], typer.Argument(help="The part to check.")
    ],
) -> None:
    """Exit 0 when the part's login reaches the database in the part's role; of `serve`, when /readyz says so too.

    It needs the same settings as the part. Exits 75 while the database, or the API, is away.
    """
    settings = load()
    database = {
        "ingest": components.ingest_database,
        "project": components.projector_database,
        "serve": components.reader_database,
        "guard": components.guard_database,
    }[part](settings)
    with closing(database), database.transaction(read_only=True) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    if part == "serve":
        url = f"http://127.0.0.1:{settings.http_port}/readyz"
        try:
            urllib.request.urlopen(url, timeout=_SECONDS).close()  # our own address  # nosec B310
        except (urllib.error.URLError, OSError) as exc:
            raise UnavailableError(f"the API is not ready at port {settings.http_port}") from exc
    typer.echo("ok")
