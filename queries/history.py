"""The changes of a resource, field by field, from the events that touched it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from msgspec import Struct

from domain.event import Actor, RecordedEvent
from event_store.database import Connection
from event_store.event_reader import events_at
from queries.search.event_order import ByPosition
from queries.search.prepared import PreparedQuery

MAX_WALKED = 1000
"""Events that one page reads at most. A resource may be read a thousand times between two changes."""
_STEP = 100


Redact = Callable[[RecordedEvent], RecordedEvent]
"""Removes from an event what the principal may not see. It keeps the changes in their places, or removes all."""


class HistoryPlace(NamedTuple):
    """The end of a page: `done` changes of the event at `position` come before it."""

    position: int
    done: int


class FieldChange(Struct, frozen=True):
    """One field's change; `before` and `after` are JSON values. `place` is the start of a page after it."""

    position: int
    event_id: UUID
    occurred_at: datetime
    actor: Actor
    path: str
    before: Any
    after: Any
    place: HistoryPlace


class ChangePage(Struct, frozen=True):
    """Changes, those of the newest event first. `end` is the start of the next page; None on the last page.

    A page reads at most `MAX_WALKED` events, so it may be short, even empty, and not be the last.
    """

    changes: list[FieldChange]
    end: HistoryPlace | None
    as_of_position: int


def find_changes(
    connection: Connection,
    query: PreparedQuery,
    path: str | None,
    limit: int,
    after: HistoryPlace | None,
    as_of: int,
    redact: Redact | None = None,
) -> ChangePage:
    """At most `limit` changes by the events of `query`; only of the field `path`, if it is given."""
    changes: list[FieldChange] = []
    for walked, recorded in enumerate(_events(connection, query, after, as_of)):
        if walked == MAX_WALKED:
            # All events before this one were read.
            return ChangePage(changes, HistoryPlace(recorded.position, 0), as_of)
        event = (recorded if redact is None else redact(recorded)).event
        done = after.done if after is not None and after.position == recorded.position else 0
        for number, change in enumerate(event.changes[done:], done):
            if path is not None and change.path != path:
                continue
            if len(changes) == limit:
                return ChangePage(changes, HistoryPlace(recorded.position, number), as_of)
            changes.append(
                FieldChange(
                    recorded.position,
                    event.event_id,
                    event.occurred_at,
                    event.actor,
                    change.path,
                    change.before,
                    change.after,
                    HistoryPlace(recorded.position, number + 1),
                )
            )
    return ChangePage(changes, None, as_of)


def _events(
    connection: Connection, query: PreparedQuery, after: HistoryPlace | None, as_of: int
) -> Iterator[RecordedEvent]:
    """The events, newest first, from the one at `after` on."""
    order = ByPosition(connection, query, as_of)
    edge = None if after is None else after.position + 1
    while found := order.positions(edge, None, _STEP, newest_first=True):
        yield from events_at(connection, found)
        edge = found[-1]
