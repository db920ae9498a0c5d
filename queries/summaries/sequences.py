"""The numbers of the services' events: which are missing, and which several events have."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from event_store.database import Connection
from event_store.statements import load
from queries.summaries.results import (
    SequenceConflict,
    SequenceCounts,
    SequenceGap,
    Sequences,
    ServiceInstance,
)

_SQL = load(__package__, "sequences.sql")

LATENESS = timedelta(minutes=15)
"""For how long missing events may be on their way: until then a gap is not late."""
MAX_COUNTED = 10_000
"""Gaps, and runs of repeated numbers, that are counted for the metrics."""


def find_sequences(connection: Connection, service: str, limit: int, lateness: timedelta) -> Sequences:
    """The numbers of one service, the latest `limit` of each list. All are empty while the tables lack them."""
    if not _are_counted(connection):
        return Sequences([], [], [])
    values = {"service": service, "limit": limit, "lateness": lateness}
    return Sequences(
        [ServiceInstance(*row) for row in _rows(connection, "list_instances", values)],
        [SequenceGap(*row) for row in _rows(connection, "list_gaps", values)],
        [SequenceConflict(*row) for row in _rows(connection, "list_conflicts", values)],
    )


def find_gaps(connection: Connection, limit: int, lateness: timedelta) -> list[SequenceGap]:
    """The newest gaps of all services."""
    if not _are_counted(connection):
        return []
    values = {"service": None, "limit": limit, "lateness": lateness}
    return [SequenceGap(*row) for row in _rows(connection, "list_gaps", values)]


def count_sequences(connection: Connection, lateness: timedelta) -> dict[str, SequenceCounts]:
    """How many gaps and conflicts each service has, up to `MAX_COUNTED` in all. Services without any are left out."""
    if not _are_counted(connection):
        return {}
    values = {"limit": MAX_COUNTED, "lateness": lateness}
    gaps = {name: (total, late) for name, total, late in _rows(connection, "count_gaps", values)}
    conflicts = dict(_rows(connection, "count_conflicts", values))
    return {
        name: SequenceCounts(*gaps.get(name, (0, 0)), conflicts.get(name, 0))
        for name in sorted(gaps.keys() | conflicts.keys())
    }


def _are_counted(connection: Connection) -> bool:
    return bool(_rows(connection, "is_counted", {})[0][0])


def _rows(connection: Connection, statement: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(_SQL[statement], values)
        return cursor.fetchall()
