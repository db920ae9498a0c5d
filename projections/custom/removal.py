"""The end of an analyst's own projection: its builds, its rows in the registry, and its role."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from domain.errors import ConfigurationError
from event_store.database import ANALYST, Database, only
from event_store.statement_errors import DuplicateNameError, statement_errors
from event_store.statements import load
from projections.builds.advisory_lock import bounded_wait, holding
from projections.builds.switching import wait_for_queries
from projections.builds.trail_events import removed_event
from projections.custom.access import open_own

_SQL = load(__package__, "custom.sql") | load("projections.builds", "operations.sql")


def remove(
    url: str, name: str, *, by: str, reason: str, publish: Callable[[bytes], None], wait_seconds: float
) -> bool:
    """Remove all of a projection; whether its role went too, which another database of the server may still need.

    First queries see it no more, then those that began before are waited for, then the decision is published, and in
    one transaction all goes. Whatever fails on the way, the same command goes on. Raises `ConfigurationError` when
    this is no own projection or another login's, and `UnavailableError` when queries do not end in time.
    """
    if not by.strip() or not reason.strip():
        raise ConfigurationError("a decision needs somebody who makes it and a reason")
    event = removed_event(name, by=by.strip(), reason=reason.strip())
    with closing(Database(url, ANALYST, size=1, application_name="audit-trail-own")) as analyst:
        _claim(analyst, name)
        with closing(open_own(url, name, 2)) as own, holding(own, [name], "remove"):
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
    """Make sure that it is an own projection, of this login, and has a role to work in."""
    with analyst.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(_SQL["is_own"], {"name": name})
        if not only(cursor):
            raise ConfigurationError(
                f"{name} is no projection of an analyst's own: only those can be removed"
            )
        try:
            with statement_errors():
                cursor.execute(_SQL["begin"], {"name": name})
        except DuplicateNameError as exc:
            raise ConfigurationError(exc.server_message) from exc
