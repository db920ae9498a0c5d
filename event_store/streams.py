"""Kafka partitions as streams: which they are, and how far each has been appended."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple
from uuid import UUID, uuid5

from event_store.database import Connection, Database, only
from event_store.statements import load

_SQL = load(__package__, "streams.sql")


class AcceptedHole(NamedTuple):
    """Offsets `first` to `last`, of which `missing` have no record, and an operator accepted that."""

    first: int
    last: int
    missing: int


class KafkaStream(NamedTuple):
    """`next_offset` is the first offset that has not been appended; `created` says that nobody has read it before."""

    stream: UUID
    next_offset: int
    created: bool = False


class StoredStream(NamedTuple):
    """A row of `kafka_stream`.

    `leader_epoch` and `batch_crc` are of the batch that holds the record before `next_offset`; -1 and None when
    unknown. `replaced_by` is the id of the topic that took this one's place.
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
        """The row as `streams.sql` selects it."""
        holes = row[7]
        triples = zip(holes[::3], holes[1::3], holes[2::3], strict=True)
        return cls._make((*row[:7], tuple(map(AcceptedHole._make, triples)), row[8]))


def kafka_stream_id(topic_id: UUID, partition: int) -> UUID:
    """The stream of a partition. It follows from Kafka's topic id, so a topic that was made again is a new stream."""
    return uuid5(topic_id, str(partition))


def streams_of(connection: Connection, topics: Collection[str]) -> list[StoredStream]:
    """Every stream of these topics, those of replaced topics too."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["streams"], {"topics": list(topics)})
        return [StoredStream.from_row(row) for row in cursor.fetchall()]


def open_kafka_stream(connection: Connection, topic: str, topic_id: UUID, partition: int) -> KafkaStream:
    """The stream of a partition, made at offset 0 when it is new."""
    stream = kafka_stream_id(topic_id, partition)
    values = {"stream": stream, "topic": topic, "topic_id": topic_id, "partition": partition}
    with connection.cursor() as cursor:
        cursor.execute(_SQL["open"], values)
        created = cursor.rowcount == 1
        cursor.execute(_SQL["stream"], values)
        return KafkaStream(stream, only(cursor), created)


def count_gaps(connection: Connection) -> int:
    """How many losses of records were accepted."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["count_gaps"])
        return int(only(cursor))


def next_offsets(database: Database, streams: Sequence[UUID]) -> dict[UUID, int]:
    """The first offset that has not been appended, of those of `streams` that were opened before."""
    with database.transaction(read_only=True) as connection, connection.cursor() as cursor:
        cursor.execute(_SQL["next_offsets"], {"streams": list(streams)})
        return dict(cursor.fetchall())
