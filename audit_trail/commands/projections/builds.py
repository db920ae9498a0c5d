"""`audit-trail projections rebuild`, `switch`, `drop` and `verify`: the builds of a projection."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from audit_trail.commands.projections.arguments import (
    Name,
    called,
    custom_projection,
    is_file,
    named,
    projectors,
    writing,
)
from audit_trail.exit_codes import ExitCode
from domain.errors import ConfigurationError, UnavailableError

if TYPE_CHECKING:
    from projections.rebuild.plan import Parts


Chosen = Annotated[
    list[str] | None,
    typer.Argument(help="Names, or the file of a custom projection. There is no default: for all, --all."),
]


def rebuild(
    names: Chosen = None,
    every: Annotated[bool, typer.Option("--all", help="All projections of this program.")] = False,
    jobs: Annotated[int, typer.Option(min=0, help="Processes that load; 0 is one for each processor.")] = 0,
) -> None:
    """Rebuild projections from the log beside the live ones, then switch. After an interruption, run it again."""
    from audit_trail.settings import load
    from projections.custom.changes import check_source
    from projections.rebuild.coordinator import rebuild as run

    chosen = [each.name for each in projectors()] if every else names or []
    if every and names:
        raise ConfigurationError(
            f"both {' '.join(names)} and --all were given: say which projections to rebuild, by names or by --all"
        )
    if not chosen:
        raise ConfigurationError("say which projections to rebuild: names, or --all")
    if len(chosen) > 1 and any(map(is_file, chosen)):
        raise ConfigurationError("a custom projection is rebuilt alone: give its file and nothing else")
    again = f"audit-trail projections rebuild {'--all' if every else ' '.join(chosen)}"
    try:
        with working(jobs, chosen[0]) as parts:
            if is_file(chosen[0]):
                check_source(parts.database, custom_projection(load(), chosen[0]).projector)
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
            skip = f", or `audit-trail projections skip {each.name} ...`" if each.skippable else ""
            typer.echo(
                f"{each.name}: build {each.build} {each.failure}; mend the projector{skip}, and `{again}` goes on"
            )
        else:
            typer.echo(f"{each.name}: build {each.build} is live at position {each.position}")
    if any(each.failure for each in outcomes):
        raise typer.Exit(ExitCode.FAILED)


def switch(
    name: Name,
    to: Annotated[
        int | None, typer.Option(help="The build; by default the one that was live before.")
    ] = None,
    stale: Annotated[
        bool, typer.Option("--stale", help="Allow a build that this program can't bring up to date.")
    ] = False,
) -> None:
    """Serve another finished build; it is brought up to date first."""
    from projections.builds.switching import switch as run

    known = {each.name: each for each in [named(name)] if is_file(name)} or {
        each.name: each for each in projectors()
    }
    with writing(name) as (_, database):
        before, now = run(database, called(name), known.get(called(name)), to=to, stale=stale)
    typer.echo(
        f"{name}: build {now} is live, build {before} was; `audit-trail projections switch {name}` goes back"
    )


def drop(
    name: Name,
    build: Annotated[
        int | None, typer.Option(help="Only this build; by default all that are not live.")
    ] = None,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for queries that may still read it.")
    ] = 60.0,
) -> None:
    """Drop builds that are not live, when no query can read them any more."""
    from projections.builds.switching import drop as run

    with writing(name) as (_, database):
        dropped = run(database, called(name), number=build, wait_seconds=wait)
    for number in dropped:
        typer.echo(f"{name}: build {number} is dropped")
    if not dropped:
        typer.echo(f"{name} has no build that is not live")


def verify(
    name: Name,
    jobs: Annotated[int, typer.Option(min=0, help="Processes that load; 0 is one for each processor.")] = 0,
) -> None:
    """Compute a projection again from the log beside the live one, and compare them table by table."""
    from projections.rebuild.verification import verify as run

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
        raise typer.Exit(ExitCode.FAILED)
    typer.echo(f"{name}: build {found.build} is what the log says, up to position {found.position}")


@contextmanager
def working(jobs: int, name: str) -> Iterator[Parts]:
    """The parts of a rebuild of `name`, from the settings."""
    from audit_trail.commands.projections.progress import progress_for_stderr
    from audit_trail.databases import worker_database
    from audit_trail.ingest_settings import ingest_settings
    from ingest.publisher import Message, Publisher
    from projections.rebuild.plan import Parts

    with writing(name) as (settings, database), progress_for_stderr() as progress:
        custom = custom_projection(settings, name) if is_file(name) else None
        publisher = Publisher(ingest_settings(settings)) if settings.kafka_bootstrap_servers else None

        def publish(event: bytes) -> None:
            if publisher is None:
                settings.require_bootstrap_servers()
            else:
                publisher.publish([Message(settings.kafka_topics[0], None, event)])

        try:
            yield Parts(
                database=database,
                open_database=custom.open_database() if custom else partial(worker_database, settings),
                source=custom.source() if custom else projectors,
                publish=publish,
                progress=progress,
                jobs=jobs or os.cpu_count() or 1,
            )
        finally:
            if publisher is not None:
                publisher.close()
