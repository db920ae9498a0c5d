"""Where to read on: the store's offset of each partition, held against what Kafka still has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

import structlog
from kafka import TopicPartition

from domain.errors import LogInconsistentError
from event_store.append import OffsetAdvance, append
from event_store.database import Connection, Database
from event_store.streams import KafkaStream, open_kafka_stream

log = structlog.get_logger(__name__)


class Extent(NamedTuple):
    """The offsets that Kafka has of a partition: from `first` up to and without `end`."""

    topic_id: UUID
    first: int
    end: int


def open_streams(
    database: Database, extents: Mapping[TopicPartition, Extent], *, go_on_after_loss: bool
) -> dict[TopicPartition, KafkaStream]:
    """The stream of each partition, with the offset to read next.

    A stream that is new starts at the first offset that Kafka has. Raises `LogInconsistentError` when offsets between
    the store's next and Kafka's first are lost, or the store has offsets beyond Kafka's end; with `go_on_after_loss`
    it logs that, moves on to Kafka's first offset, and event ids keep what is read again from being doubled.
    """
    with database.transaction() as connection:
        return {
            partition: _open(connection, partition, extent, go_on_after_loss)
            for partition, extent in sorted(extents.items())
        }


def _open(
    connection: Connection, partition: TopicPartition, extent: Extent, go_on_after_loss: bool
) -> KafkaStream:
    stream = open_kafka_stream(connection, partition.topic, extent.topic_id, partition.partition)
    at = stream.next_offset
    if extent.first <= at <= extent.end:
        return stream
    if stream.created:
        log.info(
            "stream_starts_late", topic=partition.topic, partition=partition.partition, offset=extent.first
        )
    else:
        loss = (
            f"offsets {at} to {extent.first - 1} were deleted before they were read"
            if at < extent.first
            else f"offsets {extent.end} to {at - 1} were appended, but Kafka's log ends at {extent.end}"
        )
        if not go_on_after_loss:
            raise LogInconsistentError(
                f"topic {partition.topic}, partition {partition.partition}: {loss}. Restore the topic, or set"
                " on_offset_loss=continue to go on from the earliest offset that Kafka has"
            )
        log.error(
            "offsets_lost",
            topic=partition.topic,
            partition=partition.partition,
            expected=at,
            continued_from=extent.first,
            loss=loss,
        )
    append(connection, (), offsets=[OffsetAdvance(stream.stream, at, extent.first)])
    return stream._replace(next_offset=extent.first)
