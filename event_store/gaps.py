"""Accepted losses of Kafka records: the streams move on, and an event in the log records the loss.

Both happen in one transaction, so no stream skips an offset without an event that names who accepted the loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID, uuid4

from domain.body import BodyFormat, read_event
from domain.errors import FencedError
from domain.event import AuditEvent, Source
from domain.recording_gap import Cause, Decision, RecordingGap, gap_event
from domain.validation import encode_event
from event_store.append import NewEvent, OffsetAdvance, advance_offset, append
from event_store.database import Connection, Cursor, only
from event_store.signing import HeadSigner
from event_store.statements import load
from event_store.streams import AcceptedHole, open_kafka_stream

_SQL = load(__package__, "streams.sql")

TRAIL_STREAM = UUID("6a5b4d3e-7f21-5c0e-9a44-1d8c02b7e6f0")
"""The stream of the events that are appended without Kafka: accepted losses, and jumps of the clock.

The stream position of an event is its log position, which only grows.
"""


class Move(NamedTuple):
    """The effect of an accepted gap on its stream, which must be at offset `expected`.

    `replaced_by` is the id of the topic that replaced this one. `holes` are all accepted holes of the stream.
    """

    gap: RecordingGap
    expected: int
    replaced_by: UUID | None = None
    holes: tuple[AcceptedHole, ...] = ()


def append_gaps(
    connection: Connection, moves: Sequence[Move], decision: Decision, source: Source, signer: HeadSigner
) -> None:
    """Accept losses inside the caller's transaction: append one event for each, and move the streams past them.

    A stream that is not in the store yet is created. Raises `FencedError` when a stream has moved since the loss was
    found, and the errors of `append` and `gap_event`.
    """
    now = datetime.now(UTC)
    ids = [uuid4() for _ in moves]
    events = [gap_event(move.gap, decision, source, id, now) for move, id in zip(moves, ids, strict=True)]
    with connection.cursor() as cursor:
        # This is the lock of the append, taken early because the stream positions of the events are their log
        # positions.
        cursor.execute(_SQL["lock"])
        size = only(cursor)
        for position, (move, id) in enumerate(zip(moves, ids, strict=True), size):
            _move(connection, cursor, move)
            reset = {
                "stream": move.gap.stream,
                "size": position,
                "expected": move.expected,
                "continued_from": move.gap.continued_from,
                "gap": id,
            }
            cursor.execute(_SQL["reset"], reset)
    new = [
        NewEvent(
            event.event_id,
            TRAIL_STREAM,
            position,
            event.type,
            event.occurred_at,
            BodyFormat.NATIVE,
            encode_event(event),
        )
        for position, event in enumerate(events, size)
    ]
    append(connection, new, signer)


def _move(connection: Connection, cursor: Cursor, move: Move) -> None:
    gap = move.gap
    if gap.cause is Cause.TOPIC_MADE_AGAIN:
        _one(cursor, move, "replace", {"by": move.replaced_by})
        return
    open_kafka_stream(connection, gap.topic, gap.topic_id, gap.partition)
    if move.holes:
        holes = [number for hole in move.holes for number in hole]
        _one(cursor, move, "accept_holes", {"holes": holes})
    else:
        advance_offset(cursor, OffsetAdvance(gap.stream, move.expected, gap.continued_from))


def _one(cursor: Cursor, move: Move, statement: str, values: dict[str, object]) -> None:
    """Run a statement that changes the row of the stream, if the stream is still at the expected offset."""
    cursor.execute(_SQL[statement], {"stream": move.gap.stream, "expected": move.expected, **values})
    if cursor.rowcount != 1:
        raise FencedError(
            f"topic {move.gap.topic}, partition {move.gap.partition} was moved by another process"
        )


def restore_topic(connection: Connection, topic_id: UUID) -> None:
    """Reopen the streams of a replaced topic that exists again, after an operator accepted that."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["restore"], {"topic_id": topic_id})


def stored_gaps(connection: Connection, until: int) -> list[tuple[int, AuditEvent]]:
    """The `recording.gap` events up to position `until`, with their positions."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["gaps"], {"until": until})
        return [(position, read_event(format, bytes(body))) for position, format, body in cursor.fetchall()]
