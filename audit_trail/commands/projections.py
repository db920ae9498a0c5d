"""`audit-trail projections`: the read models, and what analysts and operators do with them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from audit_trail import components
from audit_trail.commands import own_projections
from audit_trail.commands.progress import progress_for_stderr
from audit_trail.commands.terminal import out, plain
from audit_trail.settings import Settings, load
from domain.errors import ConfigurationError, UnavailableError

if TYPE_CHECKING:
    from audit_trail.own_projections import OwnProjection
    from event_store.database import Database
    from projections.projector import Projector
    from projections.rebuild_parts import Parts
    from projections.registry import Build

app = typer.Typer(
    help="The read models: look at them, rebuild them, decide about poison events.", no_args_is_help=True
)
app.command()(own_projections.new)
app.command()(own_projections.run)
Name = Annotated[
    str,
    typer.Argument(
        help="The projection's name, as `projections list` shows it, or the file of your own one."
    ),
]
Names = Annotated[
    list[str] | None,
    typer.Argument(help="Names; all when there is none. Or the file of a projection of your own."),
]


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
    from projections.status import describe

    settings = load()
    files = {each: own_projection(settings, each) for each in names or () if is_file(each)}
    known = {each.name: each for each in (*projectors(), *(own.projector for own in files.values()))}
    wanted = [files[each].projector.name if each in files else each for each in names or ()]
    # The login of an analyst need not be a reader's: each projection's role may read how far it is.
    own = next(iter(files.values()), None)
    with closing(own.database() if own else components.reader_database(settings)) as database:
        for line in describe(database, known, wanted):
            out.print(plain(line) if line else "", soft_wrap=True)


@app.command()
def pause(name: Name) -> None:
    """Feed a projection no more. Queries go on and answer as of its checkpoint."""
    from projections.operations import pause as run

    with writing(name) as (_, database):
        run(database, called(name))
    typer.echo(f"{name} is paused; `audit-trail projections resume {name}` goes on")


@app.command()
def resume(name: Name) -> None:
    """Feed a paused projection again."""
    from projections.operations import resume as run

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
    from projections.operations import reset as run

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
    from projections.operations import retry as run

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
    from ingest.publishing import Message, Publisher
    from projections.operations import skip as run

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


@app.command()
def rebuild(
    names: Names = None,
    every: Annotated[bool, typer.Option("--all", help="All projections of this program.")] = False,
    jobs: Annotated[int, typer.Option(min=0, help="Processes that load; 0 is one for each processor.")] = 0,
) -> None:
    """Make projections again from the log, unseen by queries, and switch. Interrupted, it goes on when run again."""
    from projections.rebuild import rebuild as run

    chosen = [each.name for each in projectors()] if every else names or []
    if not chosen or (every and names):
        raise ConfigurationError("say which projections to rebuild: names, or --all")
    if len(chosen) > 1 and any(map(is_file, chosen)):
        raise ConfigurationError("a projection of your own is rebuilt alone: give its file and nothing else")
    again = f"audit-trail projections rebuild {'--all' if every else ' '.join(chosen)}"
    _stop_on_sigterm()
    try:
        with working(jobs, chosen[0]) as parts:
            outcomes = run(parts, [called(each) for each in chosen])
    except KeyboardInterrupt:
        sys.stderr.write(
            f"interrupted; what is loaded is kept, and the live builds serve: `{again}` goes on\n"
        )
        raise
    except UnavailableError as exc:
        raise UnavailableError(f"{exc}; what is loaded is kept, and `{again}` goes on") from exc
    for each in outcomes:
        if each.failure:
            typer.echo(
                f"{each.name}: build {each.build} {each.failure}; mend the projector, or"
                f" `audit-trail projections skip {each.name} ...`, and `{again}` goes on"
            )
        else:
            typer.echo(f"{each.name}: build {each.build} is live at position {each.position}")
    if any(each.failure for each in outcomes):
        raise typer.Exit(1)


@app.command()
def switch(
    name: Name,
    to: Annotated[
        int | None, typer.Option(help="The build; the one that was live before when not said.")
    ] = None,
    stale: Annotated[
        bool, typer.Option("--stale", help="Also to a build that this program can't bring up to date.")
    ] = False,
) -> None:
    """Serve another finished build; it is brought up to date first."""
    from projections.switching import switch as run

    known = {each.name: each for each in [named(name)] if is_file(name)} or {
        each.name: each for each in projectors()
    }
    with writing(name) as (_, database):
        before, now = run(database, called(name), known.get(called(name)), to=to, stale=stale)
    typer.echo(
        f"{name}: build {now} is live, build {before} was; `audit-trail projections switch {name}` goes back"
    )


@app.command()
def drop(
    name: Name,
    build: Annotated[
        int | None, typer.Option(help="Only this build; all that are not live when not said.")
    ] = None,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for queries that may still read it.")
    ] = 60.0,
) -> None:
    """Drop builds that are not live, when no query can read them any more."""
    from projections.switching import drop as run

    with writing(name) as (_, database):
        dropped = run(database, called(name), number=build, wait_seconds=wait)
    for number in dropped:
        typer.echo(f"{name}: build {number} is dropped")
    if not dropped:
        typer.echo(f"{name} has no build that is not live")


@app.command()
def verify(
    name: Name,
    jobs: Annotated[int, typer.Option(min=0, help="Processes that load; 0 is one for each processor.")] = 0,
) -> None:
    """Compute a projection again from the log beside the live one, and compare them table by table."""
    from projections.verifying import verify as run

    _stop_on_sigterm()
    with working(jobs, name) as parts:
        found = run(parts, called(name))
    for table, digest in found.computed.items():
        live = found.live[table]
        same = "is what the log says" if live == digest else f"is NOT what the log says: {digest.rows} rows"
        typer.echo(f"{table}: {live.rows} rows, sha256 {live.sha256} {same}")
    if found.different:
        typer.echo(
            f"{name}: build {found.build} differs from the log at position {found.position} in"
            f" {', '.join(found.different)}; `audit-trail projections rebuild {name}` makes it again"
        )
        raise typer.Exit(1)
    typer.echo(f"{name}: build {found.build} is what the log says, up to position {found.position}")


@contextmanager
def working(jobs: int, name: str) -> Iterator[Parts]:
    """What a rebuild of `name` works with, from the settings."""
    from ingest.publishing import Message, Publisher
    from projections.rebuild_parts import Parts

    with writing(name) as (settings, database), progress_for_stderr() as progress:
        own = own_projection(settings, name) if is_file(name) else None
        publisher = (
            Publisher(components.ingest_settings(settings)) if settings.kafka_bootstrap_servers else None
        )

        def publish(event: bytes) -> None:
            if publisher is None:
                settings.require_bootstrap_servers()
            else:
                publisher.publish([Message(settings.kafka_topics[0], None, event)])

        try:
            yield Parts(
                database=database,
                open_database=own.open_database() if own else partial(worker_database, settings),
                source=own.source() if own else projectors,
                publish=publish,
                progress=progress,
                jobs=jobs or os.cpu_count() or 1,
            )
        finally:
            if publisher is not None:
                publisher.close()


def worker_database(settings: Settings) -> Database:
    """In a worker process of a rebuild: its database, and a collector that does not walk each batch."""
    components.spare_the_collector()
    return components.projector_database(settings)


def _stop_on_sigterm() -> None:
    """SIGTERM ends a rebuild as Ctrl-C does. SIGINT is set too: a shell hands a background job an ignored one."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)


def projectors() -> tuple[Projector, ...]:
    """The projectors of this program."""
    from projections.registry import built_in

    return built_in()


def named(name: str) -> Projector:
    """The projector of this program with this name, or of this file."""
    if is_file(name):
        return own_projection(load(), name).projector
    known = {each.name: each for each in projectors()}
    if name not in known:
        raise ConfigurationError(
            f"there is no projection {name!r}; this program has {', '.join(sorted(known))}"
            " (of a projection of your own, give the file)"
        )
    return known[name]


def called(name: str) -> str:
    """The name of the projection that an argument means."""
    return named(name).name if is_file(name) else name


def is_file(name: str) -> bool:
    """Whether an argument means a file, and not a name; names have no dots."""
    return name.endswith(".py")


def own_projection(settings: Settings, file: str) -> OwnProjection:
    """The projection of a file."""
    from audit_trail.own_projections import OwnProjection

    return OwnProjection(settings, file)


@contextmanager
def writing(name: str) -> Iterator[tuple[Settings, Database]]:
    """The settings, and the database in the role of the projector; for a file, in the role of that projection."""
    settings = load()
    own = own_projection(settings, name) if is_file(name) else None
    with closing(own.database() if own else components.projector_database(settings)) as database:
        yield settings, database
