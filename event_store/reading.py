"""Reading the log: in order for projectors, by position and by event id for queries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from struct import Struct
from typing import Any, NamedTuple
from uuid import UUID

from psycopg2 import sql

from domain.body import BodyFormat, read_event
from domain.errors import LogInconsistentError
from domain.event import RecordedEvent
from event_store.copy import copy_out_rows, from_us
from event_store.database import Connection, only

_COPY = (
    "COPY (SELECT position, stream_position, recorded_at, stream, format, body FROM audit_trail.event WHERE "
)
_RANGE = sql.SQL(
    _COPY + "position > {after} AND position <= {until} ORDER BY position) TO STDOUT (FORMAT binary)"
)
_THESE = sql.SQL(
    _COPY + "position = ANY((SELECT {positions}::bigint[])::bigint[])) TO STDOUT (FORMAT binary)"
)
"""By COPY: a hundred rows of a SELECT, whose values come as text, take twice as long. And by a SELECT of the positions:
the planner looks at each element of an array that it is given.
"""
_CHOSEN = """
SET LOCAL search_path = {path};
COPY (
    WITH chosen AS MATERIALIZED ({positions})
    SELECT number, 0::bigint, 'epoch'::timestamptz, '{none}'::uuid, 0::smallint, convert_to(said, 'UTF8')
    FROM ({beside}) AS beside (number, said)
    UNION ALL
    SELECT position, 0, 'epoch', '{none}', '-1', '' FROM chosen
    UNION ALL
    SELECT position, stream_position, recorded_at, stream, format, body FROM audit_trail.event
    WHERE position = ANY(ARRAY(SELECT position FROM chosen))
) TO STDOUT (FORMAT binary)
"""
"""An array once more: a join with the event table, which has partitions, is looked up in each of them row by row."""
_BESIDE, _POSITION = 0, -1
"""No formats of bodies: what else a row of the same columns can be."""
_COLUMNS = "position, recorded_at, stream, stream_position, format, body"
_AGGREGATE = int(BodyFormat.AGGREGATE)
_FIXED = Struct(">hiqiqiqi16sihi")
"""Number of fields; length and value of all but the body; the body's length."""


class Batch(NamedTuple):
    """Events in order of position. `last` is the last position covered, aggregates' own events included."""

    events: list[RecordedEvent]
    last: int


def log_size(connection: Connection) -> int:
    """How many events the log holds: the next position."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT size FROM audit_trail.log_state")
        return int(only(cursor))


def read_events(connection: Connection, after: int, limit: int) -> Batch:
    """At most `limit` positions after `after` (-1 to begin). At the end of the log `last` equals `after`.

    The events of aggregates are no audit events and are left out; `last` covers them. Raises `LogInconsistentError`
    when a position is missing.
    """
    statement = _RANGE.format(after=sql.Literal(after), until=sql.Literal(after + limit))
    events: list[RecordedEvent] = []
    last = after
    for position, event in _copied(connection, statement):
        if position != last + 1:
            raise LogInconsistentError(f"position {last + 1} is missing from the log")
        last = position
        if event is not None:
            events.append(event)
    return Batch(events, last)


class Chosen(NamedTuple):
    """`events` in order of position, and what was asked `beside`."""

    events: list[RecordedEvent]
    beside: list[tuple[int, str]]


def choose_events(connection: Connection, path: Sequence[str], positions: str, beside: str) -> Chosen:
    """The events at the positions that a statement gives, by one call and so of one snapshot.

    `path` are the schemas of its tables. `beside` is a statement that gives a number and a text, of anything else.
    Raises `LogInconsistentError` when there is no event at a position.
    """
    schemas = sql.SQL(", ").join(map(sql.Identifier, path)).as_string(connection)
    statement = _CHOSEN.format(path=schemas, positions=positions, beside=beside, none=UUID(int=0))
    chosen: list[int] = []
    told: list[tuple[int, str]] = []
    found: dict[int, RecordedEvent] = {}
    read = _Reading()
    with connection.cursor() as cursor:
        for fixed, body in copy_out_rows(cursor, statement, _FIXED):
            format, position = fixed[-2], fixed[2]
            if format == _POSITION:
                chosen.append(position)
            elif format == _BESIDE:
                told.append((position, body.decode()))
            elif format != _AGGREGATE:
                found[position] = read.event(fixed, body)
    return Chosen(_in_order(sorted(chosen), found), told)


def events_at(connection: Connection, positions: Sequence[int]) -> list[RecordedEvent]:
    """The events at these positions, in the order asked for."""
    # One literal: a hundred that are composed take as long as to decode a hundred events.
    statement = _THESE.format(positions=sql.Literal(f"{{{','.join(map(str, positions))}}}"))
    found = {position: event for position, event in _copied(connection, statement) if event is not None}
    return _in_order(positions, found)


def _in_order(positions: Sequence[int], found: Mapping[int, RecordedEvent]) -> list[RecordedEvent]:
    try:
        return [found[position] for position in positions]
    except KeyError as exc:
        raise LogInconsistentError(f"position {exc.args[0]} is missing from the log") from exc


def _copied(connection: Connection, statement: sql.Composed) -> Iterator[tuple[int, RecordedEvent | None]]:
    """The rows of `statement`; None for an event of an aggregate."""
    read = _Reading()
    with connection.cursor() as cursor:
        for fixed, body in copy_out_rows(cursor, statement.as_string(cursor), _FIXED):
            yield fixed[2], None if fixed[-2] == _AGGREGATE else read.event(fixed, body)


class _Reading:
    """Makes events of copied rows. There are few streams and times of recording, and either takes as long to be made
    as an event's body."""

    def __init__(self) -> None:
        self._streams: dict[bytes, UUID] = {}
        self._times: dict[int, datetime] = {}

    def event(self, fixed: tuple[Any, ...], body: bytes) -> RecordedEvent:
        _, _, position, _, stream_position, _, us, _, raw, _, format, _ = fixed
        times, streams = self._times, self._streams
        return RecordedEvent(
            position=position,
            recorded_at=times.get(us) or times.setdefault(us, from_us(us)),
            stream=streams.get(raw) or streams.setdefault(raw, UUID(bytes=raw)),
            stream_position=stream_position,
            event=read_event(format, body),
        )


def find_event(connection: Connection, event_id: UUID) -> RecordedEvent | None:
    """The event with this id, if it was recorded."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {_COLUMNS} FROM audit_trail.event JOIN audit_trail.event_identity USING (position)"
            " WHERE event_identity.event_id = %s AND format <> %s",
            (event_id, int(BodyFormat.AGGREGATE)),
        )
        row = cursor.fetchone()
    return None if row is None else from_row(*row)


def from_row(
    position: int, recorded_at: datetime, stream: UUID, stream_position: int, format: int, body: memoryview
) -> RecordedEvent:
    """A row of the event table as a `RecordedEvent`."""
    return RecordedEvent(
        position=position,
        recorded_at=recorded_at,
        stream=stream,
        stream_position=stream_position,
        event=read_event(format, bytes(body)),
    )
