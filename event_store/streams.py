"""Kafka partitions as streams, and their next offsets."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple
from uuid import UUID, uuid5

from event_store.database import Connection, Database, only
from event_store.statements import load

_SQL = load(__package__, "streams.sql")


class AcceptedHole(NamedTuple):
    """Offsets `first` to `last`, of which `missing` have no record; an operator accepted that."""

    first: int
    last: int
    missing: int


class KafkaStream(NamedTuple):
    """A stream. `next_offset` is the first offset that was not appended; `created` means that it was just created."""

    stream: UUID
    next_offset: int
    created: bool = False


class StoredStream(NamedTuple):
    """A row of `kafka_stream`.

    `leader_epoch` and `batch_crc` belong to the batch with the record before `next_offset`; -1 and None when unknown.
    `replaced_by` is the id of the topic that replaced this one.
    """

    stream: UUID
    topic: str
    topic_id: UUID
    partition: int
    next_offset: int
    leader_epoch: int
    batch_crc: int | None
    accepted_holes: tuple[AcceptedHole, ...]
    replaced_by: UUID | None

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> StoredStream:
        """A row as selected in `streams.sql`."""
        holes = row[7]
        triples = zip(holes[::3], holes[1::3], holes[2::3], strict=True)
        return cls._make((*row[:7], tuple(map(AcceptedHole._make, triples)), row[8]))


def kafka_stream_id(topic_id: UUID, partition: int) -> UUID:
    """The stream of a partition, derived from Kafka's topic id: a topic that was created again is a new stream."""
    return uuid5(topic_id, str(partition))


def streams_of(connection: Connection, topics: Collection[str]) -> list[StoredStream]:
    """All streams of these topics, including those of replaced topics."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["streams"], {"topics": list(topics)})
        return [StoredStream.from_row(row) for row in cursor.fetchall()]


def open_kafka_stream(connection: Connection, topic: str, topic_id: UUID, partition: int) -> KafkaStream:
    """The stream of a partition; a new one is created at offset 0."""
    stream = kafka_stream_id(topic_id, partition)
    values = {"stream": stream, "topic": topic, "topic_id": topic_id, "partition": partition}
    with connection.cursor() as cursor:
        cursor.execute(_SQL["open"], values)
        created = cursor.rowcount == 1
        cursor.execute(_SQL["stream"], values)
        return KafkaStream(stream, only(cursor), created)


def count_gaps(connection: Connection) -> int:
    """The number of accepted losses."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["count_gaps"])
        return int(only(cursor))


def next_offsets(database: Database, streams: Sequence[UUID]) -> dict[UUID, int]:
    """The next offset of each of `streams` that exists in the store."""
    with database.transaction(read_only=True) as connection, connection.cursor() as cursor:
        cursor.execute(_SQL["next_offsets"], {"streams": list(streams)})
        return dict(cursor.fetchall())
