"""Kafka partitions as streams: which they are, and how far each has been appended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID, uuid5

from event_store.append import OffsetAdvance, advance_offset
from event_store.database import Connection, Database, only


class KafkaStream(NamedTuple):
    """`next_offset` is the first offset that has not been appended; `created` says that nobody has read it before."""

    stream: UUID
    next_offset: int
    created: bool = False


def kafka_stream_id(topic_id: UUID, partition: int) -> UUID:
    """The stream of a partition. It follows from Kafka's topic id, so a topic that was made again is a new stream."""
    return uuid5(topic_id, str(partition))


def open_kafka_stream(connection: Connection, topic: str, topic_id: UUID, partition: int) -> KafkaStream:
    """The stream of a partition, made at offset 0 when it is new."""
    stream = kafka_stream_id(topic_id, partition)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_trail.kafka_stream (stream, topic, topic_id, partition, next_offset)"
            " VALUES (%s, %s, %s, %s, 0) ON CONFLICT DO NOTHING",
            (stream, topic, topic_id, partition),
        )
        created = cursor.rowcount == 1
        cursor.execute("SELECT next_offset FROM audit_trail.kafka_stream WHERE stream = %s", (stream,))
        return KafkaStream(stream, only(cursor), created)


def next_offsets(database: Database, streams: Sequence[UUID]) -> dict[UUID, int]:
    """The first offset that has not been appended, of those of `streams` that were opened before."""
    with database.transaction(read_only=True) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT stream, next_offset FROM audit_trail.kafka_stream WHERE stream = ANY(%s::uuid[])",
            (list(streams),),
        )
        return dict(cursor.fetchall())


def move_stream(connection: Connection, move: OffsetAdvance, *, lost: bool) -> None:
    """Go on at another offset without an event in between. `lost` records that records were lost before it.

    Raises `FencedError` when the stream is not at `move.expected`.
    """
    with connection.cursor() as cursor:
        advance_offset(cursor, move)
        if lost:
            cursor.execute(
                "INSERT INTO audit_trail.stream_reset (stream, size, expected, continued_from)"
                " SELECT %s, size, %s, %s FROM audit_trail.log_state",
                (move.stream, move.expected, move.next),
            )
