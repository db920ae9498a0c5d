"""The live build: catching up with it, switching to another one in a short transaction, and dropping the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from domain.errors import AuditTrailError, ConfigurationError, FencedError, UnavailableError
from event_store.database import Cursor, Database, sql
from event_store.event_reader import EventBatch, read_events
from event_store.statements import load
from projections.build_state import misfit
from projections.builds.advisory_lock import advisory_lock, bounded_wait
from projections.builds.operations import flip
from projections.custom_tables import delete_build, drop_schema
from projections.projector import Projector
from projections.projector_state import Track, groups
from projections.registry import READY, Build, list_builds, skipped

_SQL = load(__package__, "operations.sql") | load(__package__, "switching.sql")

BATCH = 5000
CLOSE = 500
"""Events that the switch's own transaction may still apply. The live runner waits about 50 ms for them."""
_ROUNDS = 100
"""Attempts to get that close. All fail only when ingest stays faster than catching up."""


def build_of(database: Database, name: str, number: int) -> Build:
    """The build as the registry has it now. Raises `FencedError` when it is gone."""
    with database.transaction(read_only=True) as connection:
        for build in list_builds(connection):
            if (build.name, build.build) == (name, number):
                return build
    raise FencedError(f"build {number} of projection {name} is gone")


def open_track(database: Database, projector: Projector, number: int) -> Track:
    """A track that feeds this build."""
    build = build_of(database, projector.name, number)
    with database.transaction(read_only=True) as connection:
        left_out = skipped(connection, [projector.name]).get(projector.name, frozenset())
    track = Track(database, projector)
    track.update(build, left_out)
    return track


def catch_up(
    database: Database,
    tracks: Sequence[Track],
    advance: Callable[[int], None] = lambda _: None,
    check: Callable[[], None] = lambda: None,
    until: int | None = None,
) -> None:
    """Feed the tracks until each is close to the end of the log, or stopped by an event (`Track.failure`).

    `until`: exactly up to this position instead.
    """
    while True:
        check()
        running = [track for track in tracks if track.failure is None]
        if not running:
            return
        position, limit, behind = next(groups(running, BATCH))
        if until is not None:
            limit = min(limit, until - position)
        batch = _read(database, position, limit)
        if batch.last == position:
            return
        for track in behind:
            track.feed(batch.events, batch.last)
            if track.stale:
                raise FencedError(
                    f"the new build of projection {track.projector.name} was changed by another process"
                )
        advance((batch.last - position) * len(behind))
        if until is None and len(behind) == len(running) and batch.last - position < CLOSE:
            return


def _read(database: Database, after: int, limit: int) -> EventBatch:
    with database.transaction(read_only=True) as connection:
        return read_events(connection, after, limit)


def switch_over(database: Database, track: Track, number: int) -> bool:
    """Make the track's build live when it is at least as far as the live one; False when an event stops it.

    In one transaction the rows of both builds are locked, the last events are applied, and the new one becomes live.
    The runner's batch waits meanwhile, and is then fenced; queries wait for nothing.
    """
    for _ in range(_ROUNDS):
        catch_up(database, [track])
        if track.stopped():
            return False
        try:
            with track.writer.transaction() as cursor:
                if _switch(cursor, track, number):
                    return True
        except AuditTrailError:
            raise
        except Exception:
            catch_up(database, [track])  # finds the faulty event, and stops there
            if not track.stopped():
                raise
            return False
    raise UnavailableError(
        f"projection {track.projector.name} can't catch up with the log; try when less comes in"
    )


def _switch(cursor: Cursor, track: Track, number: int) -> bool:
    name = track.projector.name
    cursor.execute("SET LOCAL synchronous_commit = on")
    cursor.execute(_SQL["lock_builds"], {"name": name})
    live = next((position for _, position, live in cursor.fetchall() if live), -1)
    left = live - track.position
    if left > CLOSE:
        return False
    if left > 0:
        batch = read_events(cursor.connection, track.position, left)
        prepared = track.prepare(batch.events, batch.last)
        track.writer.write(cursor, prepared, track.position, batch.last)
    flip(cursor, name, number)
    return True


def switch(
    database: Database, name: str, projector: Projector | None, *, to: int | None = None, stale: bool = False
) -> tuple[int, int]:
    """Switch to another finished build, by default to the one that was live before. Returns both numbers, from and to.

    The build is caught up first, so that no query goes back in position. Raises `ConfigurationError` when this program
    has no code for it, unless it may be `stale`.
    """
    with advisory_lock(database, [name], "switch"):
        with database.transaction(read_only=True) as connection:
            builds = [each for each in list_builds(connection) if each.name == name]
        live = next((each.build for each in builds if each.live), 0)
        target = _target(name, builds, to)
        wrong = misfit(projector, target) if projector else "this program does not have the projection"
        if not wrong and projector:
            track = open_track(database, projector, target.build)
            try:
                if not switch_over(database, track, target.build):
                    raise ConfigurationError(
                        f"build {target.build} of projection {name} is stopped by an event:"
                        f" `audit-trail projections status {name}`"
                    )
            finally:
                track.close()
        elif stale:
            with database.transaction() as connection, connection.cursor() as cursor:
                flip(cursor, name, target.build)
        else:
            raise ConfigurationError(
                f"build {target.build} of projection {name} is version {target.version}, and this program can't feed it"
                f" ({wrong}): use the program that made it, or --stale to serve it as it is, at position"
                f" {target.position}"
            )
        return live, target.build


def _target(name: str, builds: Sequence[Build], to: int | None) -> Build:
    ready = [each for each in builds if each.state == READY and not each.live]
    if to is not None:
        found = next((each for each in builds if each.build == to), None)
        if found is None or found not in ready:
            state = "is no build" if found is None else "is live" if found.live else f"is {found.state}"
            raise ConfigurationError(f"build {to} of projection {name} {state}")
        return found
    if not ready:
        raise ConfigurationError(f"projection {name} has no other finished build to switch to")
    return max(ready, key=lambda each: (each.switched_at is not None, each.switched_at or each.created_at))


def drop(
    database: Database, name: str, *, number: int | None = None, wait_seconds: float = 60.0
) -> list[int]:
    """Drop a build, or all but the live one. Returns their numbers.

    A query that began before the last switch may still read an old build, so this waits for all transactions that are
    open now. Raises `ConfigurationError` for the live build, and `UnavailableError` when they do not end in time.
    """
    with advisory_lock(database, [name], "drop"):
        with database.transaction(read_only=True) as connection:
            builds = [each for each in list_builds(connection) if each.name == name]
        chosen = [each for each in builds if (each.build == number if number else not each.live)]
        if not builds or (number is not None and not chosen):
            raise ConfigurationError(
                f"there is no build {number or ''} of projection {name}".replace("  ", " ")
            )
        if any(each.live for each in chosen):
            raise ConfigurationError(
                f"build {number} of projection {name} is live: switch to another one first"
            )
        if any(each.state == READY for each in chosen):
            wait_for_queries(database, name, wait_seconds)
        for build in chosen:
            drop_build(database, build)
        return [each.build for each in chosen]


def drop_build(database: Database, build: Build) -> None:
    """Drop its tables and its row in one transaction. The caller has the advisory lock of the projection."""
    with (
        database.transaction() as connection,
        connection.cursor() as cursor,
        bounded_wait(cursor, build.name),
    ):
        if not _deleted(cursor, build):
            raise FencedError(f"build {build.build} of projection {build.name} is live, or gone")
        if build.custom:
            drop_schema(cursor, build.name, build.schema)
        else:
            cursor.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(build.schema)))


def _deleted(cursor: Cursor, build: Build) -> bool:
    if build.custom:
        return delete_build(cursor, build.name, build.build)
    cursor.execute(_SQL["delete_build"], {"name": build.name, "build": build.build})
    return cursor.rowcount == 1


def wait_for_queries(database: Database, name: str, seconds: float) -> None:
    """Wait until every transaction that is open now, and may read builds of projection `name`, has ended.

    Raises `UnavailableError` when that takes longer.
    """
    until = time.monotonic() + seconds
    open_ones = [row[0] for row in _query(database, "open_transactions", {"name": name})]
    while open_ones:
        # Each check is a transaction of its own. Otherwise two waiting processes would wait for each other.
        [(left,)] = _query(database, "still_open", {"open": open_ones})
        if not left:
            return
        if time.monotonic() > until:
            raise UnavailableError(
                f"{left} transactions that are older than the switch are still open and may read the old build;"
                " try again when they have ended"
            )
        time.sleep(0.1)


def _query(database: Database, statement: str, parameters: dict[str, object]) -> list[tuple[Any, ...]]:
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(_SQL[statement], parameters)
        return cursor.fetchall()
