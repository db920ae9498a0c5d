"""Verifies a projection against the log: computes its tables again, and compares the digests."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from domain.errors import ConfigurationError
from event_store.database import Database
from event_store.statements import load
from projections.build_state import misfit
from projections.builds.advisory_lock import AdvisoryLock, advisory_lock
from projections.builds.digests import TableDigest, digest_table
from projections.builds.switching import build_of, catch_up, drop_build, open_track
from projections.projector import Projector
from projections.rebuild.coordinator import chosen
from projections.rebuild.finish import digest_builds, finish_builds
from projections.rebuild.load import load_builds, new_build
from projections.rebuild.plan import Parts
from projections.registry import SCRATCH, Build, list_builds, live_builds
from projections.stateful import is_stateful

_SQL = load(__package__, "rebuild.sql")


class Verified(Struct, frozen=True):
    """The digests of the live tables at `position`, and of the same tables as the log gives them."""

    name: str
    build: int
    position: int
    live: Mapping[str, TableDigest]
    computed: Mapping[str, TableDigest]

    @property
    def different(self) -> list[str]:
        """The tables that differ from the log."""
        return sorted(name for name, digest in self.computed.items() if self.live.get(name) != digest)


def verify(parts: Parts, name: str) -> Verified:
    """Compute a projection again up to the position of its live build, and compare. The live service goes on meanwhile.

    Raises `ConfigurationError` when nothing is live, or the code is not that of the live build; `FencedError`
    while another process holds the projection.
    """
    [projector] = chosen(parts, [name])
    with advisory_lock(parts.database, [name], "verify") as lock:
        _drop_scratch(parts.database, name)
        try:
            return _compare(parts, projector, lock)
        finally:
            _drop_scratch(parts.database, name)


def _compare(parts: Parts, projector: Projector, lock: AdvisoryLock) -> Verified:
    name = projector.name
    with parts.database.transaction(read_only=True) as connection:
        live = live_builds(connection).get(name)
        if live is None:
            raise ConfigurationError(f"no build of projection {name} is live")
        wrong = misfit(projector, live)
        if wrong:
            raise ConfigurationError(f"projection {name} can't be computed by this program: {wrong}")
        parts.progress.begin("reading the live tables", len(projector.tables), "tables")
        held = {}
        for table in projector.tables:  # in one snapshot, since the runner goes on
            held[table.name] = digest_table(connection, table, live.schema)
            parts.progress.advance(1)
    scratch = _scratch(parts, projector)
    builds = {name: scratch}
    failures = _computed_up_to(parts, projector, scratch, live.position, lock)
    if failures:
        raise ConfigurationError(f"projection {name} can't be computed again: {failures[name]}")
    computed = digest_builds(parts, {name: projector}, builds, lock.check)[name]
    return Verified(name, live.build, live.position, held, computed)


def _computed_up_to(
    parts: Parts, projector: Projector, build: Build, position: int, lock: AdvisoryLock
) -> dict[str, str]:
    """Put the log up to `position` into the build. Returns the failures by projection."""
    name, builds = projector.name, {projector.name: build}
    if not is_stateful(projector):
        failures = load_builds(parts, [projector], builds, lock.check, until=position + 1)
        return failures or finish_builds(parts, {name: projector}, builds, lock.check)
    parts.progress.begin("loading", position + 1, "events")
    track = open_track(parts.database, projector, build.build)
    try:
        catch_up(parts.database, [track], parts.progress.advance, lock.check, until=position)
        return {} if track.failure is None else {name: track.failure[1]}
    finally:
        track.close()


def _scratch(parts: Parts, projector: Projector) -> Build:
    build = new_build(parts.database, projector)
    with parts.database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(_SQL["scratch"], {"name": build.name, "build": build.build})
    return build_of(parts.database, build.name, build.build)


def _drop_scratch(database: Database, name: str) -> None:
    with database.transaction(read_only=True) as connection:
        left = [each for each in list_builds(connection) if each.name == name and each.state == SCRATCH]
    for build in left:
        drop_build(database, build)
