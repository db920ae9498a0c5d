"""Determine where to resume: the store's offset of each partition, compared with Kafka's current log.

Any record that could remain unread counts as a loss. A loss stops ingest, unless an operator has accepted it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from kafka import TopicPartition

from domain.errors import FencedError, LogInconsistentError
from domain.event import Source
from domain.recording_gap import Decision
from event_store.database import Connection, Database
from event_store.gaps import Move, append_gaps, restore_topic
from event_store.signing import HeadSigner
from event_store.streams import AcceptedHole, StoredStream, kafka_stream_id, open_kafka_stream, streams_of
from ingest.partitions.log import LogQuery, PartitionLog
from ingest.partitions.losses import Situation, losses
from ingest.partitions.topics import Topic

QueryLogs = Callable[[Mapping[TopicPartition, LogQuery]], Mapping[TopicPartition, PartitionLog]]
"""Queries Kafka for the logs of partitions."""
Suspected = Mapping[TopicPartition, int | None]
"""Partitions whose fetch failed, with the offset where Kafka says that its log diverges, or None."""


class OpenedStream(NamedTuple):
    """A partition that may be read from `next_offset` on."""

    stream: UUID
    next_offset: int
    accepted_holes: tuple[AcceptedHole, ...]


class Acceptance(NamedTuple):
    """An operator's acceptance of losses, and what is needed to record it in the log."""

    decision: Decision
    source: Source
    signer: HeadSigner


class RecordsLostError(LogInconsistentError):
    """Stop: Kafka lost unread records. The message names every affected partition and offset."""

    def __init__(self, moves: Sequence[Move]) -> None:
        super().__init__(
            "Kafka lost records before they were read: "
            + "; ".join(str(move.gap) for move in moves)
            + ". If possible, restore the topic. To go on without the records, see `audit-trail offsets list` and"
            " `audit-trail offsets accept`"
        )
        self.moves = tuple(moves)


def open_streams(
    database: Database,
    topics: Mapping[str, Topic],
    partitions: Collection[TopicPartition],
    query_logs: QueryLogs,
    *,
    suspected: Suspected,
    with_holes: Collection[TopicPartition],
    accepted: Acceptance | None,
) -> tuple[dict[TopicPartition, OpenedStream], tuple[Move, ...]]:
    """The stream of each partition with the next offset to read, and the losses that were accepted now.

    `with_holes`: partitions in which a hole between batches was found; they are searched for all holes. Raises
    `RecordsLostError` when records are lost and nobody has `accepted` that; then nothing changes. Raises `FencedError`
    when another process appends at the same time.
    """
    with database.transaction() as connection:
        found = examine(
            connection, topics, partitions, query_logs, suspected=suspected, with_holes=with_holes
        )
        if found:
            if accepted is None:
                raise RecordsLostError(found)
            accept(connection, topics, partitions, found, accepted)
        return _opened(connection, topics, partitions), tuple(found)


def examine(
    connection: Connection,
    topics: Mapping[str, Topic],
    partitions: Collection[TopicPartition],
    query_logs: QueryLogs,
    *,
    suspected: Suspected,
    with_holes: Collection[TopicPartition],
    with_damage: bool = False,
) -> list[Move]:
    """The losses of these partitions, and of the topics that they replaced. Changes nothing.

    `with_damage`: a damaged batch counts as lost, in partitions of `with_holes` also beyond the next batch. Raises
    `FencedError` when another process moves one of these streams at the same time.
    """
    rows = streams_of(connection, topics)
    ours = {(row.topic_id, row.partition): row for row in rows}
    queries = {}
    for at in sorted(partitions):
        row = ours.get((topics[at.topic].id, at.partition))
        place = (row.next_offset, row.leader_epoch) if row else (0, -1)
        queries[at] = LogQuery(*place, holes=at in with_holes)
    # Kafka is queried after the store: otherwise its end could be behind what another process appends meanwhile.
    logs = query_logs(queries)
    ids = {name: topic.id for name, topic in topics.items()}
    found = losses(Situation(ids, rows, logs, suspected, with_damage))
    concerned = {move.gap.stream for move in found}
    if found and _places(streams_of(connection, topics), concerned) != _places(rows, concerned):
        raise FencedError("the partitions are being read by another process")
    return found


def accept(
    connection: Connection,
    topics: Mapping[str, Topic],
    partitions: Collection[TopicPartition],
    found: Sequence[Move],
    accepted: Acceptance,
) -> None:
    """Record these losses as accepted, and move the streams past them.

    A topic that replaced another gets its streams.
    """
    append_gaps(connection, found, accepted.decision, accepted.source, accepted.signer)
    for replacing in {move.replaced_by for move in found if move.replaced_by}:
        restore_topic(connection, replacing)
        for at in partitions:
            if topics[at.topic].id == replacing:
                open_kafka_stream(connection, at.topic, replacing, at.partition)


def _opened(
    connection: Connection, topics: Mapping[str, Topic], partitions: Collection[TopicPartition]
) -> dict[TopicPartition, OpenedStream]:
    for at in sorted(partitions):
        open_kafka_stream(connection, at.topic, topics[at.topic].id, at.partition)
    rows = {row.stream: row for row in streams_of(connection, topics)}
    opened = {}
    for at in sorted(partitions):
        row = rows[kafka_stream_id(topics[at.topic].id, at.partition)]
        opened[at] = OpenedStream(row.stream, row.next_offset, row.accepted_holes)
    return opened


def _places(rows: Sequence[StoredStream], streams: Collection[UUID]) -> set[tuple[UUID, int, UUID | None]]:
    return {(row.stream, row.next_offset, row.replaced_by) for row in rows if row.stream in streams}
