"""One service's activity: its states, restarts and API use, and the numbers of its events."""

from __future__ import annotations

from datetime import timedelta

from event_store.database import Connection
from event_store.statements import load
from queries.summaries.results import ApiUse, ServiceActivity, StatePeriod
from queries.summaries.sequences import find_sequences

_SQL = load(__package__, "service.sql")


def find_service(
    connection: Connection, id: str, limit: int, as_of: int, lateness: timedelta
) -> ServiceActivity | None:
    """The activity of a service, None when no event names it. Each list has the latest `limit`.

    A gap in the numbers is late after `lateness`.
    """
    parameters = {"id": id, "limit": limit}
    with connection.cursor() as cursor:
        cursor.execute(_SQL["find_service"], parameters)
        row = cursor.fetchone()
        if row is None:
            return None
        events, restarts, health_failures, first_seen, last_seen = row
        cursor.execute(_SQL["list_periods"], parameters)
        periods = [StatePeriod(*period) for period in cursor.fetchall()]
        cursor.execute(_SQL["list_api_use"], parameters)
        api_use = [ApiUse(*use) for use in cursor.fetchall()]
    state = periods[0].state if periods else None
    return ServiceActivity(
        id,
        first_seen,
        last_seen,
        events,
        state,
        restarts,
        health_failures,
        periods,
        api_use,
        *find_sequences(connection, id, limit, lateness),
        as_of,
    )
