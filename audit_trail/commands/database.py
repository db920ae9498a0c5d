"""`audit-trail migrate`."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from domain.errors import ConfigurationError


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
        str | None, typer.Option(help="With --print-roles: the login that will migrate; else `trail_owner`.")
    ] = None,
) -> None:
    """Bring the database to the newest schema. Safe to run again, and at the same time from several places.

    It names each read model whose tables do not fit this program: that one stands still until it is rebuilt. It also
    keeps personal data out of PostgreSQL's log, by settings of the database, or prints the SQL that a superuser has to
    run for that.
    """
    from audit_trail.settings import load
    from event_store.database import Database
    from event_store.migrations import migrate as run
    from event_store.roles import roles_sql
    from event_store.server_log import logged_values
    from projections.build_state import misfits
    from projections.registry import list_builds

    if print_roles:
        typer.echo(roles_sql(owner or "trail_owner"), nl=False)
        return
    if owner is not None:
        raise ConfigurationError("--owner goes with --print-roles: nothing was changed")
    url = load().require_database_url()
    applied = run(url)
    for name in applied:
        typer.echo(f"applied {name}")
    if not applied:
        typer.echo("the database is up to date")
    with (
        closing(Database(url, None, size=1, application_name="audit-trail-migrate")) as database,
        database.transaction(read_only=True) as connection,
    ):
        builds = list_builds(connection)
        logged = logged_values(connection)
    for build, wrong in misfits(builds):
        typer.echo(f"projection {build.name} {wrong}")
    for each in logged:
        typer.echo(f"warning: {each}")
