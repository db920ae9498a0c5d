"""Removing a custom projection: its builds, its rows in the registry, and its role."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from domain.errors import ConfigurationError
from event_store.database import ANALYST, Database, only
from event_store.statement_errors import DuplicateNameError, statement_errors
from event_store.statements import load
from projections.builds.advisory_lock import advisory_lock, bounded_wait
from projections.builds.switching import wait_for_queries
from projections.builds.trail_events import removed_event
from projections.custom.access import open_custom

_SQL = load(__package__, "custom.sql") | load("projections.builds", "operations.sql")


def remove(
    url: str, name: str, *, by: str, reason: str, publish: Callable[[bytes], None], wait_seconds: float
) -> bool:
    """Remove a projection. Returns whether its role went too: another database of the server may still need it.

    First the projection disappears from queries. Then this waits for the queries that began before, publishes the
    decision, and drops everything in one transaction. When a step fails, the same command goes on from there. Raises
    `ConfigurationError` when this is no custom projection or belongs to another login, and `UnavailableError` when
    queries do not end in time.
    """
    if not by.strip() or not reason.strip():
        raise ConfigurationError("a decision needs somebody who makes it and a reason")
    event = removed_event(name, by=by.strip(), reason=reason.strip())
    with closing(Database(url, ANALYST, size=1, application_name="audit-trail-own")) as analyst:
        _claim(analyst, name)
        with closing(open_custom(url, name, 2)) as own, advisory_lock(own, [name], "remove"):
            with own.transaction() as connection, connection.cursor() as cursor, bounded_wait(cursor, name):
                cursor.execute(_SQL["lock_builds"], {"name": name})
                cursor.execute(_SQL["retire"], {"name": name})
            wait_for_queries(own, name, wait_seconds)
            publish(event)
            with (
                analyst.transaction() as connection,
                connection.cursor() as cursor,
                bounded_wait(cursor, name),
            ):
                cursor.execute(_SQL["remove"], {"name": name})
                return bool(only(cursor))


def _claim(analyst: Database, name: str) -> None:
    """Make sure that it is a custom projection of this login, and that its role exists."""
    with analyst.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(_SQL["is_custom"], {"name": name})
        if not only(cursor):
            raise ConfigurationError(f"{name} is no custom projection: only those can be removed")
        try:
            with statement_errors():
                cursor.execute(_SQL["begin"], {"name": name})
        except DuplicateNameError as exc:
            raise ConfigurationError(exc.server_message) from exc
