"""Read the log: in order for projectors, by position and by event id for queries."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from struct import Struct, iter_unpack
from typing import NamedTuple
from uuid import UUID

from psycopg2 import sql

from domain.body import BodyFormat, ReceivedMessage, read_event, read_message
from domain.errors import EventAlteredError, LogInconsistentError
from domain.event import RecordedEvent
from event_store.binary_copy import UNIX_EPOCH_US, copy_out_rows, from_us, only_row
from event_store.database import Connection, only
from event_store.entry import encode_entry
from event_store.merkle import leaf_hash
from event_store.statements import load
from event_store.stored_tree import StoredTree

_SQL = load(__package__, "event_reader.sql")
_CHOSEN = """
SET LOCAL search_path = {path};
COPY (
    SELECT audit_trail.live_builds(), chosen.at, audit_trail.event_records(chosen.at), {extra}
    FROM (SELECT ARRAY({positions}) AS at) AS chosen
) TO STDOUT (FORMAT binary)
"""
"""One row of a binary COPY, as `events_at`. It is code because it holds the statement that chooses the positions."""
_ARRAY_HEADER = 20
"""Bytes before the values in PostgreSQL's binary format of an array."""
_AT_ONCE = 200
"""The maximum of events in one such row when their number is unknown: a PostgreSQL value has at most 1 GB."""
_AGGREGATE = int(BodyFormat.AGGREGATE)
_FIXED = Struct(">hiqiqiqi16sihi")
"""Number of fields; length and value of all fields but the body; length of the body."""
_RECORD = Struct(">12xq8xq8xq8x16s8xh4xi")
"""Position, stream position, time, stream, format and body length of a record, without the types."""


class EventBatch(NamedTuple):
    """Events in order of position. `last` is the last position covered, including events of aggregates."""

    events: list[RecordedEvent]
    last: int


def log_size(connection: Connection) -> int:
    """The number of events in the log, which is the next position."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["size"])
        return int(only(cursor))


def read_events(connection: Connection, after: int, limit: int) -> EventBatch:
    """At most `limit` positions after `after` (-1 to start). At the end of the log, `last` equals `after`.

    Events of aggregates are not audit events and are omitted; `last` covers them. Raises `LogInconsistentError` when a
    position is missing.
    """
    bounds = {"after": after, "until": after + limit}
    events: list[RecordedEvent] = []
    last = after
    for position, event in _copied(connection, bounds):
        if position != last + 1:
            raise LogInconsistentError(f"position {last + 1} is missing from the log")
        last = position
        if event is not None:
            events.append(event)
    return EventBatch(events, last)


class SealedEvent(NamedTuple):
    """An event with the leaf hash that the log has sealed it with."""

    recorded: RecordedEvent
    leaf_hash: bytes


class SealedBatch(NamedTuple):
    """As `EventBatch`, each event with its leaf hash."""

    events: list[SealedEvent]
    last: int


def read_sealed(connection: Connection, after: int, limit: int, most_bytes: int) -> SealedBatch:
    """As `read_events`, for those who pass events on as genuine; `connection` has one snapshot.

    The batch ends with the event whose body exceeds `most_bytes` in all.

    Raises `EventAlteredError` for the first event that differs from the sealed one.
    """
    events: list[SealedEvent] = []
    last, read = after, _RowDecoder()
    bounds = {"after": after, "until": after + limit, "most_bytes": most_bytes}
    statement = _written(connection, "bounded_events", bounds)
    with connection.cursor() as cursor:
        for fixed, body in copy_out_rows(cursor, statement, _FIXED):
            _, _, position, _, stream_position, _, us, _, stream, _, format, _ = fixed
            if position != last + 1:
                raise LogInconsistentError(f"position {last + 1} is missing from the log")
            last = position
            if format == _AGGREGATE:
                continue
            recorded = read.event(position, stream_position, us, stream, format, body)
            id, digest = recorded.event.event_id.hex, sha256(body).hexdigest()
            entry = encode_entry(
                position, id, us + UNIX_EPOCH_US, stream.hex(), stream_position, format, digest
            )
            events.append(SealedEvent(recorded, leaf_hash(entry)))
    sealed = StoredTree(connection).nodes([(0, each.recorded.position) for each in events])
    for each, leaf in zip(events, sealed, strict=True):
        if each.leaf_hash != leaf:
            raise EventAlteredError(each.recorded.position)
    return SealedBatch(events, last)


class Chosen(NamedTuple):
    """`events` in order of position, and what was read with them.

    `live` maps the name and schema of each live build to its checkpoint. `extra` is the value of the additional
    expression.
    """

    events: list[RecordedEvent]
    live: dict[tuple[str, str], int]
    extra: int | None


def choose_events(
    connection: Connection, path: Sequence[str], positions: str, extra: str = "NULL::bigint"
) -> Chosen:
    """The events at the positions that a statement selects, in one call and so in one snapshot.

    `path` are the schemas of its tables; `extra` is an expression for a position or NULL. Raises
    `LogInconsistentError` when a position has no event.
    """
    schemas = sql.SQL(", ").join(map(sql.Identifier, path)).as_string(connection)
    statement = _CHOSEN.format(path=schemas, positions=positions, extra=extra)
    live, chosen, records, other = _one_row(connection, statement)
    at = sorted(position for (position,) in iter_unpack(">4xq", chosen[_ARRAY_HEADER:]))
    builds = (line.split(" ") for line in live.decode().splitlines())
    return Chosen(
        _in_order(at, {event.position: event for event in _recorded(records)}),
        {(name, schema): int(position) for position, name, schema in builds},
        int.from_bytes(other, signed=True) if other else None,
    )


def events_at(connection: Connection, positions: Sequence[int]) -> list[RecordedEvent]:
    """The events at these positions, in the given order."""
    found: dict[int, RecordedEvent] = {}
    for at in range(0, len(positions), _AT_ONCE):
        # One literal: the driver takes as long to compose a hundred as decoding a hundred events takes.
        given = f"{{{','.join(map(str, positions[at : at + _AT_ONCE]))}}}"
        [records] = _one_row(connection, _written(connection, "events_at", {"positions": given}))
        found.update((event.position, event) for event in _recorded(records))
    return _in_order(positions, found)


def _one_row(connection: Connection, statement: str) -> list[bytes]:
    """The fields of the single row of a COPY; NULL becomes empty bytes."""
    sink = io.BytesIO()
    with connection.cursor() as cursor:
        cursor.copy_expert(statement, sink, size=1 << 20)
    return only_row(sink.getvalue())


def _recorded(data: bytes) -> Iterator[RecordedEvent]:
    """The events in the records, without those of aggregates."""
    read, unpack, width = _RowDecoder().event, _RECORD.unpack_from, _RECORD.size
    at, end = 0, len(data)
    while at < end:
        position, stream_position, us, stream, format, size = unpack(data, at)
        at += width
        if format != _AGGREGATE:
            yield read(position, stream_position, us, stream, format, data[at : at + size])
        at += size


def _in_order(positions: Sequence[int], found: Mapping[int, RecordedEvent]) -> list[RecordedEvent]:
    try:
        return [found[position] for position in positions]
    except KeyError as exc:
        raise LogInconsistentError(f"position {exc.args[0]} is missing from the log") from exc


def _written(connection: Connection, name: str, values: Mapping[str, object]) -> str:
    """A COPY with its values as literals: it takes no parameters."""
    with connection.cursor() as cursor:
        statement: bytes = cursor.mogrify(_SQL[name], values)
    return statement.decode()


def _copied(connection: Connection, bounds: Mapping[str, int]) -> Iterator[tuple[int, RecordedEvent | None]]:
    """The events after a position; None stands for an event of an aggregate."""
    read, statement = _RowDecoder(), _written(connection, "events_between", bounds)
    with connection.cursor() as cursor:
        for fixed, body in copy_out_rows(cursor, statement, _FIXED):
            _, _, position, _, stream_position, _, us, _, stream, _, format, _ = fixed
            if format == _AGGREGATE:
                yield position, None
            else:
                yield position, read.event(position, stream_position, us, stream, format, body)


class _RowDecoder:
    """Decodes copied rows to events.

    It caches streams and recording times: there are few, and creating one takes as long as decoding a body.
    """

    def __init__(self) -> None:
        self._streams: dict[bytes, UUID] = {}
        self._times: dict[int, datetime] = {}

    def event(
        self, position: int, stream_position: int, us: int, stream: bytes, format: int, body: bytes
    ) -> RecordedEvent:
        times, streams = self._times, self._streams
        return RecordedEvent(
            position=position,
            recorded_at=times.get(us) or times.setdefault(us, from_us(us)),
            stream=streams.get(stream) or streams.setdefault(stream, UUID(bytes=stream)),
            stream_position=stream_position,
            event=read_event(format, body),
        )


def find_event(connection: Connection, event_id: UUID) -> RecordedEvent | None:
    """The event with this id; None if there is none."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["find_event"], {"event_id": event_id, "aggregate": _AGGREGATE})
        row = cursor.fetchone()
    return None if row is None else from_row(*row)


def find_body(connection: Connection, event_id: UUID) -> bytes | None:
    """The stored body of the event with this id, byte for byte; None if there is none."""
    found = _find_body(connection, event_id)
    return None if found is None else found[1]


def find_message(connection: Connection, event_id: UUID) -> ReceivedMessage | None:
    """The message that the event with this id was read from; None if there is no such event."""
    found = _find_body(connection, event_id)
    return None if found is None else ReceivedMessage(found[0], *read_message(*found))


def _find_body(connection: Connection, event_id: UUID) -> tuple[BodyFormat, bytes] | None:
    with connection.cursor() as cursor:
        cursor.execute(_SQL["find_event"], {"event_id": event_id, "aggregate": _AGGREGATE})
        row = cursor.fetchone()
    return None if row is None else (BodyFormat(row[-2]), bytes(row[-1]))


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
