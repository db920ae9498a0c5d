"""`audit-trail projections new` and `run`: an analyst's own projection, which is one file."""

from __future__ import annotations

import logging
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from audit_trail.commands.long_running import long_running, on_stop
from domain.errors import ConfigurationError

_log = logging.getLogger(__name__)


def new(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits and underscores.")],
    folder: Annotated[Path, typer.Option(help="Where the two files go.")] = Path(),
    sql: Annotated[bool, typer.Option("--sql", help="Make the rows with SQL instead of Python.")] = False,
) -> None:
    """Write a projection of your own to begin with, NAME.py, and its test."""
    from projections.own_template import files_for

    folder.mkdir(parents=True, exist_ok=True)
    files = files_for(name, sql=sql)
    for file in files:
        if (folder / file).exists():
            raise ConfigurationError(f"{folder / file} is there already, and is left as it is")
    for file, text in files.items():
        (folder / file).write_text(text, encoding="utf-8")
        typer.echo(f"wrote {folder / file}")


def run(
    file: Annotated[str, typer.Argument(help="The projection's file.")],
) -> None:
    """Keep a projection of your own up to date, until SIGTERM. A second process is a standby."""
    from audit_trail.own_projections import OwnProjection
    from projections.metrics import RunnerMetrics
    from projections.runner import Runner

    if not file.endswith(".py"):
        raise ConfigurationError(
            f"{file} is no Python file; the built-in projections are run by `audit-trail project`"
        )
    settings = long_running()
    own = OwnProjection(settings, file)
    _log.info("projection %s, version %d, out of %s", own.projector.name, own.projector.version, file)
    with closing(own.database()) as database:
        runner = Runner(database, [own.projector], batch=settings.projection_batch, metrics=RunnerMetrics())
        on_stop(runner.stop)
        runner.run()
