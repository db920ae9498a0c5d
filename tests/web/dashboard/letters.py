"""Dead letters in a trail, as hostile as events can be."""

from __future__ import annotations

from contextlib import closing
from uuid import uuid4

from domain.errors import Reason
from event_store.database import INGEST, Database, only
from event_store.dead_letters import NewDeadLetter, insert_dead_letters


def reject(
    url: str, value: bytes, *, reason: Reason = Reason.UNKNOWN_TYPE, topic: str = "t", text: str = ""
) -> int:
    """Store a dead letter. Returns its id. `text` is in all that a sender chooses beside the value."""
    letter = NewDeadLetter(
        uuid4(),
        topic,
        0,
        7,
        None,
        text.encode(),
        value,
        [(text, text.encode())],
        reason,
        text,
        "no such type",
    )
    with (
        closing(Database(url, INGEST)) as database,
        database.transaction() as connection,
        connection.cursor() as cursor,
    ):
        insert_dead_letters(cursor, [letter])
        cursor.execute("SELECT max(id) FROM audit_trail.dead_letter")
        return int(only(cursor))
