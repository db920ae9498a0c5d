"""What an operator does to a projection: pause, resume, reset, retry, and skip one event with a recorded reason."""

from __future__ import annotations

from collections.abc import Callable

from domain.errors import ConfigurationError, FencedError
from event_store.database import Cursor, Database
from event_store.statements import load
from projections.builds.advisory_lock import advisory_lock, bounded_wait
from projections.builds.trail_events import Skip, skipped_event
from projections.projector import Projector
from projections.registry import create_build, live_builds

_SQL = load(__package__, "operations.sql")


def pause(database: Database, name: str) -> None:
    """Stop feeding the live build after the current batch. Queries go on, and answer up to its checkpoint."""
    _set_paused(database, name, paused=True)


def resume(database: Database, name: str) -> None:
    """Feed the live build again."""
    _set_paused(database, name, paused=False)


def _set_paused(database: Database, name: str, *, paused: bool) -> None:
    with database.transaction() as connection, connection.cursor() as cursor, bounded_wait(cursor, name):
        cursor.execute(_SQL["pause"], {"name": name, "paused": paused})
        if cursor.rowcount != 1:
            raise ConfigurationError(f"no build of projection {name} is live")


def retry(database: Database, name: str) -> int:
    """Try the event that stops the projection again now. Returns how many builds it stopped."""
    with database.transaction() as connection, connection.cursor() as cursor, bounded_wait(cursor, name):
        if name not in live_builds(connection):
            raise ConfigurationError(f"no build of projection {name} is live")
        cursor.execute(_SQL["retry"], {"name": name})
        return int(cursor.rowcount)


def reset(database: Database, projector: Projector) -> int:
    """Start again: an empty build becomes live in one transaction, and the runner fills it. Returns its number.

    Queries that run meanwhile see the old build whole; it stays until it is dropped, and `switch` goes back to it.
    Raises `ConfigurationError` when the program is older than the tables, `FencedError` while
    another process has locked the projection.
    """
    name = projector.name
    with (
        advisory_lock(database, [name], "reset"),
        database.transaction() as connection,
        connection.cursor() as cursor,
        bounded_wait(cursor, name),
    ):
        live = live_builds(connection).get(name)
        if live is not None and live.version > projector.version:
            raise ConfigurationError(
                f"the tables of {name} are version {live.version}, this program has {projector.version}:"
                " use the newer program"
            )
        build = create_build(connection, projector, live=False, indexed=True)
        flip(cursor, name, build)
        return build


def flip(cursor: Cursor, name: str, build: int) -> None:
    """Make `build` the live one, in the caller's transaction. Raises `FencedError` when it is gone or not ready."""
    cursor.execute(_SQL["lock_builds"], {"name": name})
    cursor.execute(_SQL["retire"], {"name": name})
    retired = cursor.fetchone()
    cursor.execute(_SQL["make_live"], {"name": name, "build": build, "paused": bool(retired and retired[0])})
    if cursor.rowcount != 1:
        raise FencedError(f"build {build} of projection {name} is not ready")


def skip(
    database: Database, name: str, position: int, *, by: str, reason: str, publish: Callable[[bytes], None]
) -> Skip:
    """Leave out the one event that stops a projection. `publish` sends the decision, an event, to the trail.

    The decision is stored before it is published, and applied after that. When a step fails, the same command goes on
    with the same decision. Raises `ConfigurationError` when the projection isn't stopped by that event.
    """
    if not by.strip() or not reason.strip():
        raise ConfigurationError("a decision needs somebody who makes it and a reason")
    parameters = {"name": name, "position": position}
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(_SQL["failed_at"], parameters)
        failed = cursor.fetchone()
        if failed is not None:
            cursor.execute(
                _SQL["decide"],
                parameters
                | {"event_id": failed[0], "failure": failed[1], "by": by.strip(), "reason": reason.strip()},
            )
        cursor.execute(_SQL["find_skip"], parameters)
        row = cursor.fetchone()
        if row is None or (row[-1] and failed is None):
            raise ConfigurationError(
                f"projection {name} is not stopped at position {position}:"
                f" `audit-trail projections status {name}` says where"
            )
        decision = Skip(*row)
        message = skipped_event(decision)  # checked first: an invalid decision is not stored
    if not decision.applied:
        publish(message)
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(_SQL["apply_skip"], parameters)
        cursor.execute(_SQL["pass_skipped"], parameters)
    return decision
