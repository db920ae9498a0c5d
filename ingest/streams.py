"""Where to read on: the store's offset of each partition, held against what Kafka still has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple
from uuid import UUID

import structlog
from kafka import TopicPartition

from domain.errors import FencedError, LogInconsistentError
from event_store.append import OffsetAdvance
from event_store.database import Connection, Database
from event_store.streams import KafkaStream, move_stream, open_kafka_stream

log = structlog.get_logger(__name__)


_NO_END = (1 << 63) - 1


class Extent(NamedTuple):
    """The offsets that Kafka has of a partition: from `first` up to and without `end`."""

    topic_id: UUID
    first: int
    end: int


def open_streams(
    database: Database,
    topic_ids: Mapping[TopicPartition, UUID],
    ask: Callable[[], Mapping[TopicPartition, Extent]],
    doubted: Mapping[TopicPartition, int | None],
    *,
    go_on_after_loss: bool,
) -> dict[TopicPartition, KafkaStream]:
    """The stream of each partition, with the offset to read next; `ask` gives what Kafka has of them.

    A stream that is new starts at the first offset that Kafka has. Raises `LogInconsistentError` when offsets between
    the store's next and Kafka's first are lost, or the store has offsets beyond Kafka's end; with `go_on_after_loss`
    it logs that, moves on to Kafka's first offset, and event ids keep what is read again from being doubled.
    The end is only looked at where a fetch has failed (`doubted`, with the offset from which on Kafka's log is another
    one, if it said so), since the embedded broker's answer for it is too low by up to a batch.
    Raises `FencedError` when another process appends meanwhile.
    """
    with database.transaction() as connection:
        # Kafka is asked after the store: asked before, its end would be behind what another process appends meanwhile.
        streams = {
            partition: open_kafka_stream(connection, partition.topic, topic_id, partition.partition)
            for partition, topic_id in sorted(topic_ids.items())
        }
        extents = ask()
        return {
            partition: _placed(
                connection,
                partition,
                stream,
                _judged(partition, extents[partition], doubted),
                go_on_after_loss,
            )
            for partition, stream in streams.items()
        }


def _judged(
    partition: TopicPartition, extent: Extent, doubted: Mapping[TopicPartition, int | None]
) -> Extent:
    if partition not in doubted:
        return extent._replace(end=_NO_END)
    cut = doubted[partition]
    return extent if cut is None else extent._replace(end=min(cut, extent.end))


def _placed(
    connection: Connection,
    partition: TopicPartition,
    stream: KafkaStream,
    extent: Extent,
    go_on_after_loss: bool,
) -> KafkaStream:
    at = stream.next_offset
    if extent.first <= at <= extent.end:
        return stream
    now = open_kafka_stream(connection, partition.topic, extent.topic_id, partition.partition)
    if now.next_offset != at:
        raise FencedError(
            f"topic {partition.topic}, partition {partition.partition} is being read by another process"
        )
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
    move_stream(connection, OffsetAdvance(stream.stream, at, extent.first), lost=not stream.created)
    return stream._replace(next_offset=extent.first)
