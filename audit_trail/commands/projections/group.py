"""`audit-trail projections`: the read models, and what analysts and operators do with them."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from audit_trail.commands.projections import builds as build_commands
from audit_trail.commands.projections import custom
from audit_trail.commands.projections.arguments import (
    Name,
    Names,
    called,
    custom_projection,
    is_file,
    named,
    projectors,
    writing,
)
from audit_trail.commands.terminal import out, plain, visible
from domain.errors import ConfigurationError

app = typer.Typer(
    help="The read models: list them, rebuild them, decide about poison events.", no_args_is_help=True
)
app.command()(custom.new)
app.command()(custom.run)
app.command()(custom.remove)


@app.command("list")
def list_projections() -> None:
    """List every build of every projection: version, checkpoint, lag and state."""
    from audit_trail.databases import Pool, open_database
    from audit_trail.settings import load
    from projections.build_state import known_projectors, misfits, state_of
    from projections.registry import list_builds

    with (
        closing(open_database(load(), Pool.READER)) as database,
        database.transaction(read_only=True) as connection,
    ):
        builds = list_builds(connection)
    known = known_projectors()
    table = Table("name", "version", "build", "live", "position", "lag", "state", "error", box=None)
    for build in builds:
        cells = (
            build.name,
            str(build.version),
            str(build.build),
            "live" if build.live else "",
            str(build.position),
            str(build.lag),
            state_of(build, known.get(build.name)),
            build.failure or "",
        )
        table.add_row(*map(plain, cells))
    out.print(table)
    for build, wrong in misfits(builds):
        out.print(Text(f"projection {build.name} {wrong}"), soft_wrap=True)


@app.command()
def status(names: Names = None) -> None:
    """Show what each projection does, whether this program's code fits its tables, and what to do if not."""
    from audit_trail.databases import Pool, open_database
    from audit_trail.settings import load
    from projections.builds.status import describe

    settings = load()
    files = {each: custom_projection(settings, each) for each in names or () if is_file(each)}
    known = {each.name: each for each in (*projectors(), *(file.projector for file in files.values()))}
    wanted = [files[each].projector.name if each in files else each for each in names or ()]
    # An analyst's login may lack the reader's role. Each projection's role may read the states.
    file = next(iter(files.values()), None)
    with closing(file.database() if file else open_database(settings, Pool.READER)) as database:
        for line in describe(database, known, wanted):
            # Not shortened: the line may end in a command with a long path, and a failure's text is short.
            out.print(Text(visible(line)), soft_wrap=True)


@app.command()
def pause(name: Name) -> None:
    """Apply no more events to a projection. Queries go on and answer as of its checkpoint."""
    from projections.builds.operations import pause as run

    with writing(name) as (_, database):
        run(database, called(name))
    typer.echo(f"{name} is paused; `audit-trail projections resume {name}` goes on")


@app.command()
def resume(name: Name) -> None:
    """Apply events to a paused projection again."""
    from projections.builds.operations import resume as run

    with writing(name) as (_, database):
        run(database, called(name))
    typer.echo(f"{name} goes on")


@app.command()
def reset(
    name: Name,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it: queries see an empty model until it is filled.")
    ] = False,
) -> None:
    """Start a projection again with empty tables, which the runner fills. `rebuild` hides that from queries."""
    from projections.builds.operations import reset as run

    projector = named(name)
    if not yes:
        raise ConfigurationError(
            f"reset shows queries an empty model until the runner has filled it: `rebuild {name}` does not;"
            " say --yes when this is what you want"
        )
    with writing(name) as (_, database):
        build = run(database, projector)
    typer.echo(
        f"{name} starts again from position 0, as build {build};"
        " the old build stays until `audit-trail projections drop`"
    )


@app.command()
def retry(name: Name) -> None:
    """Retry the event that stops a projection now, instead of after the pause."""
    from projections.builds.operations import retry as run

    with writing(name) as (_, database):
        count = run(database, called(name))
    typer.echo(f"{name} tries again" if count else f"no event stops {name}")


@app.command()
def skip(
    name: Name,
    position: Annotated[int, typer.Option(min=0, help="The position that `projections status` shows.")],
    by: Annotated[str, typer.Option(help="Who decides.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the trail for ever.")],
) -> None:
    """Skip, for good, the one event that stops a projection. The decision is recorded in the trail."""
    from audit_trail.ingest_settings import ingest_settings
    from ingest.publisher import Message, Publisher
    from projections.builds.operations import skip as run

    with (
        writing(name) as (settings, database),
        closing(Publisher(ingest_settings(settings))) as publisher,
    ):
        run(
            database,
            called(name),
            position,
            by=by,
            reason=reason,
            publish=lambda event: publisher.publish([Message(settings.kafka_topics[0], None, event)]),
        )
    typer.echo(f"{name} leaves out the event at position {position}")


for command in (build_commands.rebuild, build_commands.switch, build_commands.drop, build_commands.verify):
    app.command()(command)
