"""Dead letters as pages show them: the newest first, by reason and topic, with the decisions on each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from domain.dead_letter import DeadLetterResolution, Resolution
from domain.errors import Reason
from event_store.database import Connection
from event_store.dead_letters import DeadLetter, ListedDeadLetter, resolution_id
from event_store.statements import load

_SQL = load(__package__, "dead_letter_pages.sql")
_DECIDED = {
    f"{each.__module__}:{each.__qualname__}": resolution
    for each, resolution in (
        (DeadLetterResolution.Requeued, Resolution.REQUEUED),
        (DeadLetterResolution.Dismissed, Resolution.DISMISSED),
    )
}
"""The decisions by the topic under which the `eventsourcing` library stores them."""


class LetterRow(NamedTuple):
    """A dead letter without its message, and the size of the value in bytes as it was received."""

    letter: ListedDeadLetter
    size: int


class Decision(NamedTuple):
    """A decision on a dead letter."""

    what: Resolution
    by: str
    reason: str
    at: datetime


class _Decided(msgspec.Struct):
    by: str
    reason: str


def page_of_letters(
    connection: Connection, *, before: int | None, limit: int, reason: Reason | None, topic: str | None
) -> list[LetterRow]:
    """At most `limit` dead letters before the id `before`, the newest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            _SQL["page"],
            {
                "before": before,
                "limit": limit,
                "reason": None if reason is None else reason.value,
                "topic": topic,
            },
        )
        return [
            LetterRow(ListedDeadLetter(*row)._replace(reason=Reason(row[7])), size)
            for *row, size in cursor.fetchall()
        ]


def decisions(
    connection: Connection, letters: Sequence[DeadLetter | ListedDeadLetter]
) -> dict[int, list[Decision]]:
    """The decisions on each of these dead letters by its id, the oldest first."""
    by_stream = {resolution_id(letter): letter.id for letter in letters}
    found: dict[int, list[Decision]] = {letter.id: [] for letter in letters}
    with connection.cursor() as cursor:
        cursor.execute(_SQL["decisions"], {"streams": list(by_stream)})
        for stream, type, body, at in cursor.fetchall():
            if type in _DECIDED:
                decided = msgspec.json.decode(bytes(body), type=_Decided)
                decision = Decision(_DECIDED[type], decided.by, decided.reason, at)
                found[by_stream[UUID(str(stream))]].append(decision)
    return found


def rejected_again(connection: Connection, letter: DeadLetter) -> int | None:
    """The id of the newest later dead letter with the same message; None when there is none among the next 1,000."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["same_message"], {"topic": letter.topic, "id": letter.id, "value": letter.value})
        row = cursor.fetchone()
    return None if row is None else int(row[0])
