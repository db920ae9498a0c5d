"""User activity: what each person did, in which sessions, with how many failed logins, and with which patients.

A user is an actor with an id whose kind is user, patient or unknown. A failed login counts to the id that it names. The
user's timeline is the activity index by actor; the patients are the patient projection's access rows, read by actor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import UNSET

from domain.access.saved_view import TYPES, ViewChange, change_of
from domain.event import PERSONS, ActorKind, Outcome, RecordedEvent
from projections.binary_rows import utc
from projections.merges import MAX, MIN, SUM, latest
from projections.name_words import name_words
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

VIEW = Table(
    "user_view",
    ("owner", "view"),
    (
        Column("position", Kind.BIGINT, MAX),
        Column("deleted", Kind.BOOLEAN, MAX),
        Column("owner", Kind.TEXT),
        Column("view", Kind.TEXT),
        Column("name", Kind.TEXT, latest("name_position"), nullable=True),
        Column("name_position", Kind.BIGINT, MAX, nullable=True),
        Column("filter", Kind.TEXT, latest("filter_position"), nullable=True),
        Column("filter_position", Kind.BIGINT, MAX, nullable=True),
        Column("shared_with", Kind.TEXT, latest("shared_position"), nullable=True),
        Column("shared_position", Kind.BIGINT, MAX, nullable=True),
    ),
    (
        Index(("owner", "name", "view"), "NOT deleted AND name IS NOT NULL"),
        Index(("shared_with", "name", "view"), "NOT deleted AND shared_with <> ''"),
    ),
)
"""The views that persons have saved: see `domain.access.saved_view`. `shared_with` is empty for nobody.

A deleted view keeps its row: an older change, which another part of a rebuild applies later, does not bring it back.
"""


NAME = Table(
    "user_name",
    ("word", "user_id"),
    (
        Column("position", Kind.BIGINT, MAX),
        Column("by_patient", Kind.SMALLINT, MAX),
        Column("word", Kind.TEXT),
        Column("user_id", Kind.TEXT),
        Column("name", Kind.TEXT, latest("position")),
    ),
)
"""The users by the words of their names; `name` is the latest one with the word, so former names are found too.

It has as many rows as the users' names have words, however many events there are, and its key finds the beginning of a
word. `by_patient` is 1 if a patient has acted under the name, else 0.
"""


class UserProjector:
    """Writes the users' actions, sessions and names, and their saved views.

    A user's summary is the sum of the action rows, one per type.
    """

    name = "user"
    version = 3
    tables: tuple[Table, ...] = (ACTION, SESSION, VIEW, NAME)

    def rows(self, events: Sequence[RecordedEvent]) -> Mapping[str, list[Row]]:
        """For each event by a person: one action, its session if it has one, the saved view, and words of the name."""
        actions: list[Row] = []
        sessions: list[Row] = []
        views: list[Row] = []
        names: dict[tuple[str, str, bool], Row] = {}
        for recorded in events:
            event = recorded.event
            actor = event.actor
            if actor.id is None or actor.kind not in PERSONS:
                continue
            moment = utc(event.occurred_at)
            failed = event.outcome is not Outcome.SUCCESS
            named = None if actor.name is None else recorded.position
            actions.append((1, int(failed), moment, moment, actor.id, event.type, actor.name, named))
            if actor.name is not None:
                by_patient = actor.kind is ActorKind.PATIENT
                for word in name_words(actor.name):
                    # Batches are in the order of positions: the last name of a batch is its latest one.
                    row = (recorded.position, int(by_patient), word, actor.id, actor.name)
                    names[word, actor.id, by_patient] = row
            if event.session is not None:
                started = moment if event.type in _STARTS and not failed else None
                ended = moment if event.type in _ENDS and not failed else None
                sessions.append((1, moment, moment.toordinal(), actor.id, event.session, started, ended))
            if event.type in TYPES and (change := change_of(event)) is not None:
                views.append(_view(recorded.position, change))
        return {
            "user_action": actions,
            "user_session": sessions,
            "user_view": views,
            "user_name": list(names.values()),
        }


def _view(position: int, change: ViewChange) -> Row:
    fields = (change.name, change.filter, UNSET if change.shared_with is UNSET else change.shared_with or "")
    said = (value for field in fields for value in ((None, None) if field is UNSET else (field, position)))
    return (position, change.deleted, change.owner, str(change.id), *said)
