"""`audit-trail projections`: the read models, and what analysts and operators do with them."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from audit_trail import components
from audit_trail.commands import custom_projections, rebuilds
from audit_trail.commands.projection_options import (
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
from audit_trail.settings import load
from domain.errors import ConfigurationError

if TYPE_CHECKING:
    from projections.registry import Build

app = typer.Typer(
    help="The read models: look at them, rebuild them, decide about poison events.", no_args_is_help=True
)
app.command()(custom_projections.new)
app.command()(custom_projections.run)
app.command()(custom_projections.remove)


@app.command("list")
def list_projections() -> None:
    """List every build of every projection: version, checkpoint, lag and state."""
    from projections.registry import list_builds

    with (
        closing(components.reader_database(load())) as database,
        database.transaction(read_only=True) as connection,
    ):
        builds = list_builds(connection)
    table = Table("name", "version", "build", "live", "position", "lag", "state", "error", box=None)
    for build in builds:
        cells = (
            build.name,
            str(build.version),
            str(build.build),
            "live" if build.live else "",
            str(build.position),
            str(build.lag),
            state_of(build),
            build.failure or "",
        )
        table.add_row(*map(plain, cells))
    out.print(table)


def state_of(build: Build) -> str:
    """One word for what a build does."""
    if build.failure is not None:
        return "failed"
    if not build.live:
        return build.state
    return "paused" if build.paused else "running"


@app.command()
def status(names: Names = None) -> None:
    """Say of each projection what it does, whether this program's code fits its tables, and what to do if not."""
    from projections.builds.status import describe

    settings = load()
    files = {each: custom_projection(settings, each) for each in names or () if is_file(each)}
    known = {each.name: each for each in (*projectors(), *(own.projector for own in files.values()))}
    wanted = [files[each].projector.name if each in files else each for each in names or ()]
    # The login of an analyst need not be a reader's: each projection's role may read how far it is.
    own = next(iter(files.values()), None)
    with closing(own.database() if own else components.reader_database(settings)) as database:
        for line in describe(database, known, wanted):
            # Whole, since it may end in a command with a long path; a failure's text is short already.
            out.print(Text(visible(line)), soft_wrap=True)


@app.command()
def pause(name: Name) -> None:
    """Feed a projection no more. Queries go on and answer as of its checkpoint."""
    from projections.builds.operations import pause as run

    with writing(name) as (_, database):
        run(database, called(name))
    typer.echo(f"{name} is paused; `audit-trail projections resume {name}` goes on")


@app.command()
def resume(name: Name) -> None:
    """Feed a paused projection again."""
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
    """Begin a projection anew with empty tables, which the runner fills. `rebuild` does the same unseen."""
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
        f"{name} begins anew as build {build}; the old build stays until `audit-trail projections drop`"
    )


@app.command()
def retry(name: Name) -> None:
    """Try the event that stops a projection again now, and not only after the pause."""
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
    """Leave out the one event that stops a projection, for good; the decision is recorded in the trail."""
    from ingest.publisher import Message, Publisher
    from projections.builds.operations import skip as run

    with (
        writing(name) as (settings, database),
        closing(Publisher(components.ingest_settings(settings))) as publisher,
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


for command in (rebuilds.rebuild, rebuilds.switch, rebuilds.drop, rebuilds.verify):
    app.command()(command)
