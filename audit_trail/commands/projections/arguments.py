"""The arguments of the commands about projections: the projection that one names, and the database in its role."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from domain.errors import ConfigurationError

if TYPE_CHECKING:
    from audit_trail.commands.projections.custom_file import CustomProjection
    from audit_trail.settings import Settings
    from event_store.database import Database
    from projections.projector import Projector

Name = Annotated[
    str,
    typer.Argument(
        help="The projection's name, as `projections list` shows it, or the file of a custom projection."
    ),
]
Names = Annotated[
    list[str] | None,
    typer.Argument(help="Names, or the file of a custom projection; by default all."),
]


def projectors() -> tuple[Projector, ...]:
    """The projectors of this program."""
    from detection.live.installed import installed

    return installed()


def named(name: str) -> Projector:
    """The projector of this program with this name, or of this file."""
    if is_file(name):
        from audit_trail.settings import load

        return custom_projection(load(), name).projector
    known = {each.name: each for each in projectors()}
    if name not in known:
        raise ConfigurationError(
            f"there is no projection {name!r}; this program has {', '.join(sorted(known))}"
            " (for a custom projection, give the file)"
        )
    return known[name]


def called(name: str) -> str:
    """The name of the projection that an argument means."""
    return named(name).name if is_file(name) else name


def is_file(name: str) -> bool:
    """Whether an argument means a file, and not a name; names have no dots."""
    return name.endswith(".py")


def custom_projection(settings: Settings, file: str) -> CustomProjection:
    """The projection of a file. It continues in the isolated process, which may run the file."""
    from audit_trail.commands.projections.custom_file import CustomProjection
    from audit_trail.commands.projections.isolated_process import isolate

    isolate(file)
    return CustomProjection(settings, file)


@contextmanager
def writing(name: str) -> Iterator[tuple[Settings, Database]]:
    """The settings, and the database in the role of the projector; for a file, in the role of that projection."""
    from audit_trail.databases import Pool, open_database
    from audit_trail.settings import load

    settings = load()
    custom = custom_projection(settings, name) if is_file(name) else None
    with (
        closing(custom.database() if custom else open_database(settings, Pool.REBUILD)) as database,
        _refusing(name),
    ):
        yield settings, database


@contextmanager
def _refusing(name: str) -> Iterator[None]:
    """Say that the login lacks the rights, and not that the database is not set up."""
    from event_store.statement_errors import MissingRightError

    try:
        yield
    except ConfigurationError as exc:
        if isinstance(exc.__cause__, MissingRightError):
            raise ConfigurationError(
                f"{name} is not yours: this login may not do that to it"
                + (
                    ""
                    if is_file(name)
                    else " (one with the role audit_trail_projector may; for a custom projection, give the file)"
                )
            ) from exc
        raise
