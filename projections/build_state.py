"""The state of a build in words, and whether this program can feed it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from projections.fingerprints import definition_digest, on_command_line
from projections.projector import Projector
from projections.registry import Build, declared

NEEDS_REBUILD = "needs rebuild"
NEEDS_NEWER_PROGRAM = "needs newer program"
FAILED = "failed"
PAUSED = "paused"
STALLED = "stalled"
CATCHING_UP = "catching up"
RUNNING = "running"

STALLED_SECONDS = 60.0
"""How long a projection may be behind without moving. A batch takes seconds at most."""
_BEHIND_SECONDS = 5.0
"""A projection applies an event within a second. One whose next event has waited this long is behind."""


class Misfit(NamedTuple):
    """Why this program may not feed a build. `reason` names the command that helps."""

    state: str
    reason: str

    def __str__(self) -> str:
        return f"{self.state}: {self.reason}"


def misfit(projector: Projector, build: Build) -> Misfit | None:
    """Why this program's projector may not feed this build, and what to do; None when it may."""
    code, tables = projector.version, build.version
    argument = on_command_line(projector)
    rebuild = f"run `audit-trail projections rebuild {argument}`"
    if code > tables:
        return Misfit(NEEDS_REBUILD, f"its tables are version {tables}, this program has {code}; {rebuild}")
    if code < tables:
        return Misfit(
            NEEDS_NEWER_PROGRAM,
            f"its tables are version {tables}, this program has {code};"
            f" use the newer program, or `audit-trail projections switch {argument}` to go back to an older build",
        )
    if build.definition and build.definition != definition_digest(projector.tables):
        return Misfit(
            NEEDS_REBUILD,
            f"the declared tables are not those of version {tables} any more;"
            f" raise the projector's version, then {rebuild}",
        )
    return None


def known_projectors() -> Mapping[str, Projector]:
    """The built-in projectors, by name."""
    return {each.name: each for each in declared()}


def misfits(builds: Iterable[Build]) -> Iterator[tuple[Build, Misfit]]:
    """The live builds of built-in projections that this program can't feed: they stand still."""
    known = known_projectors()
    for build in builds:
        wrong = misfit(known[build.name], build) if build.live and build.name in known else None
        if wrong is not None:
            yield build, wrong


def state_of(build: Build, projector: Projector | None) -> str:
    """The state of a build. Without a `projector` nobody can say whether it needs a rebuild.

    A build that is not live has the state of its rebuild. `stalled`: events wait, and the checkpoint does not move, as
    when no process runs the projection.
    """
    wrong = misfit(projector, build) if build.live and projector is not None else None
    if wrong is not None:
        return wrong.state
    if build.failure is not None:
        return FAILED
    if not build.live:
        return build.state
    if build.paused:
        return PAUSED
    waiting = build.waiting.total_seconds() if build.waiting is not None else 0.0
    if min(waiting, build.rested.total_seconds()) > STALLED_SECONDS:
        return STALLED
    return CATCHING_UP if waiting > _BEHIND_SECONDS else RUNNING
