"""`audit-trail projections new`, `run` and `remove`: custom projections, each in one file."""

from __future__ import annotations

import logging
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from audit_trail.commands.projections.arguments import custom_projection, is_file
from audit_trail.runtime.signals import BATCH_SECONDS, on_stop_within
from domain.errors import ConfigurationError

_log = logging.getLogger(__name__)
_FILE, _FOLDER = 0o644, 0o755
"""Permissions of what `new` writes: source text, which others may read."""


def new(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits and underscores.")],
    folder: Annotated[Path, typer.Option(help="The folder for the two files.")] = Path(),
    sql: Annotated[bool, typer.Option("--sql", help="Make the rows with SQL instead of Python.")] = False,
) -> None:
    """Write a custom projection to start with, NAME.py, and its test."""
    from event_store.files.folders import Folder
    from projections.custom.template import files_for

    files = files_for(name, sql=sql)
    with Folder.open(folder) if folder.exists() else Folder.make(folder, _FOLDER) as opened:
        taken = [file for file in files if opened.state(file) is not None]
        if taken:
            raise ConfigurationError(f"{folder / taken[0]} is there already, and is left as it is")
        for file, text in files.items():
            with opened.open_file(file, "xb", _FILE) as made:
                made.write(text.encode())
            typer.echo(f"wrote {folder / file}")


def run(
    file: Annotated[str, typer.Argument(help="The projection's file.")],
    same_rows: Annotated[
        bool,
        typer.Option(
            "--same-rows",
            help="The file has changed, and still makes the same rows: only a comment or the wording is new.",
        ),
    ] = False,
) -> None:
    """Keep a custom projection up to date, until SIGTERM. A second process is a standby."""
    from audit_trail.runtime.start import long_running
    from audit_trail.runtime.tracing import tracing
    from audit_trail.settings import load
    from projections.custom.changes import check_source
    from projections.metrics import RunnerMetrics
    from projections.runner import Runner

    if not is_file(file):
        raise ConfigurationError(
            f"{file} is no Python file; the built-in projections are run by `audit-trail project`"
        )
    custom = custom_projection(load(), file)  # first, as it goes on in another process
    settings, monitor = long_running("custom")
    _log.info("projection %s, version %d, out of %s", custom.projector.name, custom.projector.version, file)
    with closing(custom.database()) as database, tracing(settings, "custom") as tracer:
        check_source(database, custom.projector, same_rows=same_rows)
        runner = Runner(
            database,
            [custom.projector],
            batch=settings.projection_batch,
            metrics=RunnerMetrics(),
            tracer=tracer,
        )
        monitor.watch(runner.health.problems, runner.health.state)
        on_stop_within(BATCH_SECONDS, runner.stop)
        runner.run()


def remove(
    name: Annotated[str, typer.Argument(help="The file, or the name, of a custom projection.")],
    by: Annotated[str, typer.Option(help="Who decides.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the trail for ever.")],
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it: all its tables are dropped, the live ones too.")
    ] = False,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for queries that may still read it.")
    ] = 60.0,
) -> None:
    """Remove a custom projection: all builds, its registry and its role. The decision is recorded in the trail."""
    from audit_trail.commands.projections.isolated_process import isolate
    from audit_trail.ingest_settings import ingest_settings
    from audit_trail.settings import load
    from ingest.publisher import Message, Publisher
    from projections.custom.removal import remove as run
    from projections.custom.source_file import load_custom
    from projections.registry import declared

    # A broken file gives no name. Its projection can still be removed by name.
    called = name
    if is_file(name):
        isolate(name)
        called = load_custom(Path(name)).name
    if called in {each.name for each in declared()}:
        raise ConfigurationError(f"the projection {called} comes with Audit Trail, and is not removed")
    if not yes:
        raise ConfigurationError(
            f"remove drops all tables of {called}, the live ones too; say --yes when this is what you want"
        )
    settings = load()
    with closing(Publisher(ingest_settings(settings))) as publisher:
        role = run(
            settings.require_database_url(),
            called,
            by=by,
            reason=reason,
            publish=lambda event: publisher.publish([Message(settings.kafka_topics[0], None, event)]),
            wait_seconds=wait,
        )
    typer.echo(
        f"{called} is removed" + ("" if role else "; its role stays, since something else depends on it")
    )
