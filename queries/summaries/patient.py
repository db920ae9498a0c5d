"""One patient's activity: who accessed the record, how often, when last and for what purpose."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from domain.read_audit.events import READ
from event_store.database import Connection
from event_store.statements import load
from projections.models.patient import ACCESSED
from queries.summaries.results import PatientAccess, PatientActivity

_SQL = load(__package__, "patient.sql")


class Between(NamedTuple):
    """A range of times by the sources' clocks: `begin` inclusive, `until` exclusive."""

    begin: datetime
    until: datetime


def find_patient(
    connection: Connection,
    id: str,
    limit: int,
    as_of: int,
    own: Collection[str] | None = None,
    between: Between | None = None,
) -> PatientActivity | None:
    """One patient's activity with the `limit` latest accessors, None when no event names the patient.

    `own`: of patients who acted, only the ids of these are shown; None shows all. `between`: only the accesses of that
    time, which are counted from the events.
    """
    parameters = {"id": id, "limit": limit, "own": None if own is None else list(own)}
    with connection.cursor() as cursor:
        cursor.execute(_SQL["find_patient"], {"id": id})
        [(events, first_seen, last_seen)] = cursor.fetchall()
        if not events:
            return None
        if between is None:
            cursor.execute(_SQL["list_accesses"], parameters)
        else:
            range = {"as_of": as_of, "read": READ, "accessed": sorted(ACCESSED)} | between._asdict()
            cursor.execute(_SQL["list_accesses_between"], parameters | range)
        accesses = [
            PatientAccess(
                actor_id or None,
                name,
                accesses,
                count,
                first_at,
                last_at,
                tuple(purposes),
                tuple(roles),
                emergencies,
                without,
            )
            for actor_id, name, accesses, count, first_at, last_at, purposes, roles, emergencies, without in (
                cursor.fetchall()
            )
        ]
    return PatientActivity(id, first_seen, last_seen, events, accesses, as_of)
