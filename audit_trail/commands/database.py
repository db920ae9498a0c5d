"""`audit-trail migrate`."""

from __future__ import annotations

from typing import Annotated

import typer


def migrate(
    print_roles: Annotated[
        bool,
        typer.Option(
            "--print-roles",
            help="Change nothing. Print the SQL with which an administrator creates the roles, for an owner of the"
            " database who may not create any.",
        ),
    ] = False,
    owner: Annotated[
        str, typer.Option(help="With --print-roles: the login that will migrate.")
    ] = "trail_owner",
) -> None:
    """Bring the database to the newest schema. Safe to run again, and at the same time from several places."""
    from audit_trail.settings import load
    from event_store.migrations import migrate as run
    from event_store.roles import roles_sql

    if print_roles:
        typer.echo(roles_sql(owner), nl=False)
        return
    applied = run(load().require_database_url())
    for name in applied:
        typer.echo(f"applied {name}")
    if not applied:
        typer.echo("the database is up to date")
