"""When a resource was first and last touched."""

from __future__ import annotations

from event_store.database import Connection
from event_store.statements import load
from queries.summaries.results import ResourceActivity

_SQL = load(__package__, "resource.sql")


def find_resource(connection: Connection, type: str, id: str, as_of: int) -> ResourceActivity | None:
    """The first and the last event that touched a resource, None when there is none."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["find_resource"], {"type": type, "id": id})
        row = cursor.fetchone()
    return ResourceActivity(type, id, row[0], row[1], as_of) if row and row[0] else None
