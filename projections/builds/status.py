"""The status of a projection for an operator: its builds, whether they fit this program, and what to do."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

from domain.errors import ConfigurationError
from event_store.database import Database
from projections.build_state import misfit
from projections.fingerprints import code_digest, on_command_line
from projections.projector import Projector
from projections.registry import Build, list_builds

_LOOK_SECONDS = 1.0
"""Seconds between the two readings that give a rate."""


def describe(database: Database, known: Mapping[str, Projector], names: Sequence[str]) -> Iterator[str]:
    """Lines for a terminal about the projections `names`, or about all that this program or the database has."""
    builds = _builds(database)
    every = sorted(known.keys() | {build.name for build in builds})
    for name in names:
        if name not in every:
            raise ConfigurationError(f"there is no projection {name!r}; there are {', '.join(every)}")
    listed = [build for build in builds if build.name in (names or every)]
    rates = _rates(database, listed)
    for name in names or every:
        projector = known.get(name)
        yield f"{name}" + (
            f"  version {projector.version} in this program" if projector else "  not in this program"
        )
        own = [build for build in builds if build.name == name]
        if not own:
            yield "  not built yet: the runner begins it, or `rebuild`"
        for build in own:
            argument = on_command_line(projector) if projector else name
            yield from _build(build, projector, argument, rates.get((build.name, build.build)))
        yield ""


def _builds(database: Database) -> list[Build]:
    with database.transaction(read_only=True) as connection:
        return list_builds(connection)


def _rates(database: Database, builds: Sequence[Build]) -> dict[tuple[str, int], float]:
    """Events per second of the live builds that are behind, from two readings."""
    behind = {(each.name, each.build): each.position for each in builds if each.live and each.lag}
    if not behind:
        return {}
    began = time.monotonic()
    time.sleep(_LOOK_SECONDS)
    seen = {(each.name, each.build): each.position for each in _builds(database)}
    seconds = time.monotonic() - began
    return {key: max(0, seen.get(key, position) - position) / seconds for key, position in behind.items()}


def _pace(build: Build, rate: float | None) -> str:
    """The rate and the time left, or how long ago the build last moved."""
    rested = f"{build.rested.total_seconds():,.0f} s ago"
    if not build.live:
        return ""
    if rate:
        return f"; {rate:,.0f} events/s, {build.lag / rate:,.0f} s left"
    return f"; last moved {rested}"


def _build(build: Build, projector: Projector | None, argument: str, rate: float | None) -> Iterator[str]:
    made = f"{build.created_at:%Y-%m-%d %H:%M:%S}"
    live = "live" if build.live else build.state
    yield f"  build {build.build}  version {build.version}  {live}  schema {build.schema}  made {made} UTC"
    pace = ", paused" if build.paused else _pace(build, rate)
    yield f"    position {build.position}, {build.lag} events behind the log{pace}"
    if build.failed_position is not None:
        at = build.failed_position
        yield f"    stopped at position {at}, event {build.failed_event_id}: {build.failure}"
        yield f"    mend the projector and run `audit-trail projections retry {argument}`, or leave this event out:"
        yield f"    `audit-trail projections skip {argument} --position {at} --by WHO --reason WHY`"
    elif build.failure is not None:
        yield f"    {build.failure}"
    if build.paused:
        yield f"    `audit-trail projections resume {argument}` goes on"
    if build.live and projector is not None:
        wrong = misfit(projector, build)
        if wrong:
            yield f"    {wrong}"
        elif build.code_digest and build.code_digest != code_digest(projector):
            yield "    the projector's source has changed since; when other rows come out of it, raise its version and"
            yield f"    run `audit-trail projections rebuild {argument}`"
    if not build.live and (build.state != "ready" or build.switched_at is None):
        yield f"    unfinished: `audit-trail projections rebuild {argument}` goes on with it, `drop` gives it up"
