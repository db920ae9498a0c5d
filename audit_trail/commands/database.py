"""`audit-trail migrate`."""

from __future__ import annotations

import typer


def migrate() -> None:
    """Bring the database to the newest schema. Safe to run again, and at the same time from several places."""
    from audit_trail.settings import load
    from event_store.migrations import migrate as run

    applied = run(load().require_database_url())
    for name in applied:
        typer.echo(f"applied {name}")
    if not applied:
        typer.echo("the database is up to date")
