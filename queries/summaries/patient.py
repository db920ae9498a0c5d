"""One patient's activity: who accessed the record, how often, when last and for what purpose."""

from __future__ import annotations

from collections.abc import Collection

from event_store.database import Connection
from event_store.statements import load
from queries.summaries.results import PatientAccess, PatientActivity

_SQL = load(__package__, "patient.sql")


def find_patient(
    connection: Connection, id: str, limit: int, as_of: int, own: Collection[str] | None = None
) -> PatientActivity | None:
    """One patient's activity with the `limit` latest accessors, None when no event names the patient.

    `own`: of patients who acted, only the ids of these are shown; None shows all.
    """
    with connection.cursor() as cursor:
        cursor.execute(_SQL["find_patient"], {"id": id})
        [(events, first_seen, last_seen)] = cursor.fetchall()
        if not events:
            return None
        cursor.execute(
            _SQL["list_accesses"], {"id": id, "limit": limit, "own": None if own is None else list(own)}
        )
        accesses = [
            PatientAccess(actor_id or None, name, accesses, count, first_at, last_at, tuple(purposes))
            for actor_id, name, accesses, count, first_at, last_at, purposes in cursor.fetchall()
        ]
    return PatientActivity(id, first_seen, last_seen, events, accesses, as_of)
