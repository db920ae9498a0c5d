"""User activity: what each person did, in which sessions, with how many failed logins, and with which patients.

A user is an actor with an id whose kind is user, patient or unknown. A failed login counts to the id that it names. The
user's timeline is the activity index by actor; the patients are the patient projection's access rows, read by actor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from domain.event import PERSONS, Outcome, RecordedEvent
from projections.binary_rows import utc
from projections.merges import MAX, MIN, SUM, latest
from projections.tables import Column, Index, Kind, Row, Table

_STARTS = frozenset({"session.started", "user.logged_in"})
_ENDS = frozenset({"session.ended", "user.logged_out"})

ACTION = Table(
    "user_action",
    ("user_id", "type"),
    (
        Column("events", Kind.BIGINT, SUM),
        Column("failures", Kind.BIGINT, SUM),
        Column("first_at", Kind.TIMESTAMP, MIN),
        Column("last_at", Kind.TIMESTAMP, MAX),
        Column("user_id", Kind.TEXT),
        Column("type", Kind.TEXT),
        Column("name", Kind.TEXT, latest("name_position"), nullable=True),
        Column("name_position", Kind.BIGINT, MAX, nullable=True),
    ),
)

SESSION = Table(
    "user_session",
    ("user_id", "session"),
    (
        Column("events", Kind.BIGINT, SUM),
        Column("last_at", Kind.TIMESTAMP, MAX),
        Column("last_day", Kind.INTEGER, MAX),
        Column("user_id", Kind.TEXT),
        Column("session", Kind.TEXT),
        Column("started_at", Kind.TIMESTAMP, MIN, nullable=True),
        Column("ended_at", Kind.TIMESTAMP, MAX, nullable=True),
    ),
    # The latest first. By day: the time itself would change with each event, and the index with it.
    (Index(("user_id", "last_day")),),
)


class UserProjector:
    """Writes the users' actions and sessions. A user's summary is the sum of the action rows, one per type."""

    name = "user"
    version = 2
    tables = (ACTION, SESSION)

    def rows(self, events: Sequence[RecordedEvent]) -> Mapping[str, list[Row]]:
        """For each event by a person: one action, and its session when it has one."""
        actions: list[Row] = []
        sessions: list[Row] = []
        for recorded in events:
            event = recorded.event
            actor = event.actor
            if actor.id is None or actor.kind not in PERSONS:
                continue
            moment = utc(event.occurred_at)
            failed = event.outcome is not Outcome.SUCCESS
            named = None if actor.name is None else recorded.position
            actions.append((1, int(failed), moment, moment, actor.id, event.type, actor.name, named))
            if event.session is not None:
                started = moment if event.type in _STARTS and not failed else None
                ended = moment if event.type in _ENDS and not failed else None
                sessions.append((1, moment, moment.toordinal(), actor.id, event.session, started, ended))
        return {"user_action": actions, "user_session": sessions}
