"""One user's activity: sessions, logins, patients and actions."""

from __future__ import annotations

from event_store.database import Connection
from event_store.statements import load
from queries.summaries.results import UserAction, UserActivity, UserPatient, UserSession

_SQL = load(__package__, "user.sql")


def find_user(connection: Connection, id: str, limit: int, as_of: int) -> UserActivity | None:
    """The activity of a user, None when the user caused no event. Sessions and patients: the latest `limit`."""
    parameters = {"id": id, "limit": limit}
    with connection.cursor() as cursor:
        cursor.execute(_SQL["find_user"], parameters)
        [(name, events, failed_logins, logins, first_seen, last_seen)] = cursor.fetchall()
        if not events:
            return None
        cursor.execute(_SQL["list_sessions"], parameters)
        sessions = [UserSession(*row) for row in cursor.fetchall()]
        cursor.execute(_SQL["list_patients"], parameters)
        patients = [UserPatient(*row) for row in cursor.fetchall()]
        cursor.execute(_SQL["list_actions"], parameters)
        actions = [UserAction(*row) for row in cursor.fetchall()]
    return UserActivity(
        id, name, events, failed_logins, logins, first_seen, last_seen, sessions, patients, actions, as_of
    )
