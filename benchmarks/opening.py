"""The database as workers of a rebuild open it. Apart, since each of them imports this module and what it imports."""

from __future__ import annotations

from audit_trail.runtime.garbage_collection import spare_the_collector
from event_store.database import PROJECTOR, Database


def open_database(url: str) -> Database:
    """As `audit-trail projections rebuild` opens it, in its workers too."""
    spare_the_collector()
    return Database(url, PROJECTOR, size=8, application_name="bench-rebuild")
